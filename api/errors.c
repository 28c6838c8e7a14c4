#include "api/errors.h"

static const struct {
	const char *name;
	int status;
} errors[API_ERRORS] = {
	[API_ACCESS_DENIED] = { "AccessDeniedException", 403 },
	[API_CONFLICT] = { "ConflictException", 409 },
	[API_NOT_FOUND] = { "ResourceNotFoundException", 404 },
	[API_QUOTA] = { "ServiceQuotaExceededException", 402 },
	[API_THROTTLING] = { "ThrottlingException", 429 },
	[API_VALIDATION] = { "ValidationException", 400 },
	[API_UNKNOWN_OPERATION] = { "UnknownOperationException", 404 },
	[API_SERIALIZATION] = { "SerializationException", 400 },
	[API_TOO_LARGE] = { "RequestEntityTooLargeException", 413 },
	[API_NOT_SIGNED] = { "MissingAuthenticationTokenException", 403 },
	[API_UNKNOWN_CLIENT] = { "UnrecognizedClientException", 403 },
	[API_WRONG_SIGNATURE] = { "InvalidSignatureException", 403 },
	[API_PARTIAL_SIGNATURE] = { "IncompleteSignatureException", 403 },
	[API_INTERNAL] = { "InternalFailure", 500 },
	[API_UNAVAILABLE] = { "ServiceUnavailable", 503 },
};

const char *api_error_name(enum api_error error)
{
	MUST(error < API_ERRORS);
	return errors[error].name;
}

int api_error_status(enum api_error error)
{
	MUST(error < API_ERRORS);
	return errors[error].status;
}

enum api_error api_error_find(struct slice name)
{
	enum api_error i = 0;

	while (i < API_ERRORS && !slice_equal(name, slice_str(errors[i].name)))
		i++;
	return i;
}
