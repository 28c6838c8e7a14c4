/*
 * api/engine_setting.h - what mmd's configuration says that a tool must know, too
 *
 * What     A tool that has the directory alone judges mail of the spool as mmd would, and doesn't read its
 *          configuration: mmd keeps sections of it in control.db.
 * Threads  Who opens the engine.
 * On disk  docs/formats.md, "Control database": table setting
 */
#ifndef MM_API_ENGINE_SETTING_H
#define MM_API_ENGINE_SETTING_H

#include "base/json.h"
#include "store/db.h"

enum rc setting_prepare(struct db *control, struct err *e) MUST_USE;
/* `kept`: *value (NULL: there is none) is kept under that name, where it isn't already. Else *value is what was kept, a
 * new reference, or NULL. */
enum rc setting_sync(struct db *control, const char *name, bool kept, json_t **value,
		     struct err *e) MUST_USE;

#endif
