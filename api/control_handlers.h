/* api/control_handlers.h - HANDLER(operation, function): what is built of api/model.h's table */
