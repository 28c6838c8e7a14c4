#include "ingest/parsed.h"

#include <stdlib.h>

#include "base/codec.h"

#define MAGIC     0x3250504dU /* "MPP2" */
#define ALL_FLAGS 31U

/* 1900-01-01 to the end of 9999, in milliseconds. */
#define FIRST_SENT (INT64_C(-25567) * MS_PER_DAY)
#define LAST_SENT  (INT64_C(2932897) * MS_PER_DAY)

static enum rc put_addresses(const struct parsed *p, size_t field, struct buf *out)
{
	enum rc rc = buf_put_u32(out, (uint32_t)p->address_count[field]);

	for (size_t i = 0; i < p->address_count[field] && rc == RC_OK; i++) {
		rc = buf_put_slice(out, p->addresses[field][i].address);
		if (rc == RC_OK)
			rc = buf_put_slice(out, p->addresses[field][i].display);
	}
	return rc;
}

static enum rc put_headers(const struct parsed *p, struct buf *out)
{
	enum rc rc = buf_put_u32(out, (uint32_t)p->header_count);

	for (size_t i = 0; i < p->header_count && rc == RC_OK; i++) {
		rc = buf_put_slice(out, p->headers[i].name);
		if (rc == RC_OK)
			rc = buf_put_slice(out, p->headers[i].value);
		if (rc == RC_OK)
			rc = buf_put_slice(out, p->headers[i].raw);
	}
	return rc;
}

enum rc parsed_encode(const struct parsed *p, struct buf *out)
{
	size_t before = out->len;
	enum rc rc = buf_put_u32(out, MAGIC);

	if (rc == RC_OK)
		rc = buf_put_u32(out, p->flags);
	if (rc == RC_OK)
		rc = buf_put_u64(out, (uint64_t)p->sent_ms);
	for (size_t i = 0; i < PARSED_TEXTS && rc == RC_OK; i++)
		rc = buf_put_slice(out, p->text[i]);
	for (size_t i = 0; i < PARSED_FIELDS && rc == RC_OK; i++)
		rc = put_addresses(p, i, out);
	if (rc == RC_OK)
		rc = put_headers(p, out);
	if (rc != RC_OK)
		out->len = before;
	return rc;
}

/* --- decoding: the reader latches, so each piece is checked once --- */

static struct slice read_text(struct reader *r)
{
	struct slice s = read_slice(r);

	if (r->ok && (!slice_is_utf8(s) || slice_find_byte(s, 0) != SIZE_MAX))
		r->ok = false;
	return s;
}

/* A count of things of at least `least` bytes each, so that it can't ask for more memory than the
 * bytes justify. */
static size_t read_count(struct reader *r, size_t most, size_t least)
{
	size_t n = read_u32(r);

	if (n > most || n > r->rest.len / least)
		r->ok = false;
	return r->ok ? n : 0;
}

static bool read_addresses(struct reader *r, struct parsed *p, size_t field)
{
	size_t n = read_count(r, PARSED_MAX_ADDRESSES, 8);

	if (n == 0)
		return r->ok;
	p->addresses[field] = mem_array(n, sizeof(*p->addresses[field]));
	p->address_count[field] = n;
	for (size_t i = 0; i < n && r->ok; i++) {
		p->addresses[field][i].address = read_text(r);
		p->addresses[field][i].display = read_text(r);
		if (p->addresses[field][i].address.len == 0)
			r->ok = false;
	}
	return r->ok;
}

static bool read_headers(struct reader *r, struct parsed *p)
{
	size_t n = read_count(r, PARSED_MAX_HEADERS, 12);

	if (n == 0)
		return r->ok;
	p->headers = mem_array(n, sizeof(*p->headers));
	p->header_count = n;
	for (size_t i = 0; i < n && r->ok; i++) {
		p->headers[i].name = read_text(r);
		p->headers[i].value = read_text(r);
		p->headers[i].raw = read_slice(r);
	}
	return r->ok;
}

static bool read_all(struct reader *r, struct parsed *p)
{
	if (read_u32(r) != MAGIC)
		return false;
	p->flags = read_u32(r);
	p->sent_ms = (int64_t)read_u64(r);
	if (p->flags & ~ALL_FLAGS)
		return false;
	if (p->flags & PARSED_HAS_SENT ? p->sent_ms < FIRST_SENT || p->sent_ms >= LAST_SENT
	                               : p->sent_ms != 0)
		return false;
	for (size_t i = 0; i < PARSED_TEXTS; i++)
		p->text[i] = read_text(r);
	for (size_t i = 0; i < PARSED_FIELDS && r->ok; i++)
		if (!read_addresses(r, p, i))
			return false;
	return r->ok && read_headers(r, p) && r->rest.len == 0;
}

enum rc parsed_decode(struct parsed *out, struct slice bytes, struct err *e)
{
	struct reader r;

	*out = (struct parsed) { 0 };
	if (bytes.len == 0 || bytes.len > PARSED_MAX_BYTES)
		return err_set(e, RC_CORRUPT, "parsed message: %zu bytes", bytes.len);
	out->memory = mem_new(bytes.len);
	memcpy(out->memory, bytes.at, bytes.len);
	r = reader_over(slice_of(out->memory, bytes.len));
	if (!read_all(&r, out)) {
		parsed_free(out);
		return err_set(e, RC_CORRUPT, "parsed message: not what a worker writes");
	}
	return RC_OK;
}

void parsed_free(struct parsed *p)
{
	for (size_t i = 0; i < PARSED_FIELDS; i++)
		free(p->addresses[i]);
	free(p->headers);
	free(p->memory);
	*p = (struct parsed) { 0 };
}
