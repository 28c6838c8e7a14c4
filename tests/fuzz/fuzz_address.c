/*
 * tests/fuzz/fuzz_address.c - paths of SMTP and entries of address lists
 *
 * Input    byte 0: flags (enum smtp_address_flag); then "<path>", or an entry and, behind a NUL, an
 *          address that is looked for.
 * Oracle   A path that is taken is an address by the check of whole addresses too, is what stands
 *          in the brackets, byte for byte, and is within the limits. An entry without a star that
 * is an address is in its own list.
 */
#include "ingest/address_list.h"
#include "smtp/address.h"
#include "smtp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_path(struct slice text, unsigned flags)
{
	struct smtp_path p;
	struct slice rest;
	struct err e;

	if (smtp_path_parse(&p, text, flags, &rest, &e) != RC_OK) {
		MUST(e.text[0]);
		return;
	}
	MUST(rest.len < text.len && rest.at + rest.len == text.at + text.len);
	MUST(text.at[0] == '<' && rest.at[-1] == '>');
	MUST(p.address.len + 2 + rest.len == text.len && p.address.len <= 254);
	MUST(p.local.len <= 64 && p.domain.len <= 255);
	if (!p.address.len) {
		MUST(flags & ADDRESS_NULL);
	} else if (!p.domain.len) {
		MUST(flags & ADDRESS_POSTMASTER);
	} else {
		MUST(smtp_address_valid(p.address, flags));
		MUST(smtp_domain_valid(p.domain, flags));
		MUST(p.address.len == p.local.len + 1 + p.domain.len);
		/* What is not seen in the clear, is not taken. */
		for (size_t i = 0; i < p.address.len; i++)
			MUST(p.address.at[i] >= ' ' && p.address.at[i] != 0x7f);
	}
}

static void try_entry(struct slice text)
{
	size_t nul = slice_find(text, slice_of("", 1));
	struct slice entry = slice_part(text, 0, nul == SIZE_MAX ? text.len : nul);
	struct slice address = slice_from(text, nul == SIZE_MAX ? text.len : nul + 1);
	struct address_list *list;
	json_t *array;

	if (address_entry_fault(entry))
		return;
	array = json_pack("[s%]", (const char *)entry.at, entry.len);
	if (!array)
		return; /* no UTF-8 */
	MUST(address_list_new(&list, array, NULL) == RC_OK);
	MUST(address_list_count(list) == 1);
	(void)address_list_has(list, address);
	if (!memchr(entry.at, '*', entry.len) && memchr(entry.at, '@', entry.len))
		MUST(address_list_has(list, entry));
	MUST(!address_list_has(list, slice_of(NULL, 0)));
	address_list_unref(&list);
	json_decref(array);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data + 1, size - 1);

	if (size < 2)
		return 0;
	try_path(text, data[0] & 15u);
	try_entry(text);
	return 0;
}
