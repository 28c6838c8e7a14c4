#include "smtp/data.h"

void smtp_data_begin(struct smtp_data *d)
{
	*d = (struct smtp_data) { .at = DATA_BOL };
}

bool smtp_data_ended(const struct smtp_data *d)
{
	return d->at == DATA_END;
}

/* One line or what there is of it, CRLF or bare LF included; d->at is BOL, MID or CR. */
static size_t scan_line(struct smtp_data *d, struct slice in)
{
	const uint8_t *lf = memchr(in.at, '\n', in.len);
	size_t n = lf ? (size_t)(lf - in.at) + 1 : in.len;
	const uint8_t *cr = memchr(in.at, '\r', n);

	if (d->at == DATA_CR) {
		if (lf == in.at) {
			d->at = DATA_BOL;
			return 1;
		}
		d->odd |= DATA_BARE_CR;
	}
	/* The only CR of a good line is its last byte but the LF. */
	if (cr && cr + 1 != in.at + n && cr + 1 != lf)
		d->odd |= DATA_BARE_CR;
	if (lf) {
		bool crlf = n >= 2 && lf[-1] == '\r';

		d->at = crlf ? DATA_BOL : DATA_MID;
		if (!crlf)
			d->odd |= DATA_BARE_LF;
	} else {
		d->at = in.at[n - 1] == '\r' ? DATA_CR : DATA_MID;
	}
	return n;
}

static void find_nul(struct smtp_data *d, struct slice run)
{
	if (run.len && memchr(run.at, '\0', run.len))
		d->odd |= DATA_NUL;
}

/* Goes on behind a dot that began a line. True when the next run is *run. */
static bool after_dot(struct smtp_data *d, struct slice *in, struct slice *run)
{
	uint8_t c = in->at[0];

	*run = slice_of(NULL, 0);
	if (d->at == DATA_DOT && c != '\r') {
		d->at = DATA_MID; /* the dot is dropped, RFC 5321 section 4.5.2 */
		return false;
	}
	if (d->at == DATA_DOT || c == '\n') {
		d->at = d->at == DATA_DOT ? DATA_DOTCR : DATA_END;
		*in = slice_from(*in, 1);
		return true;
	}
	/* ".\r" and no LF: the CR was content, and a bare one */
	d->at = DATA_MID;
	d->odd |= DATA_BARE_CR;
	*run = slice_of("\r", 1);
	return true;
}

struct slice smtp_data_next(struct smtp_data *d, struct slice *in)
{
	struct slice run = slice_of(NULL, 0);
	size_t n = 0;

	if (in->len == 0 || d->at == DATA_END)
		return run;
	if ((d->at == DATA_DOT || d->at == DATA_DOTCR) && after_dot(d, in, &run))
		return run;
	while (n < in->len && !(d->at == DATA_BOL && in->at[n] == '.'))
		n += scan_line(d, slice_from(*in, n));
	run = slice_part(*in, 0, n);
	if (n < in->len) {
		d->at = DATA_DOT;
		n++;
	}
	*in = slice_from(*in, n);
	find_nul(d, run);
	return run;
}

void smtp_data_chunk(struct smtp_data *d, struct slice in)
{
	find_nul(d, in);
	while (in.len)
		in = slice_from(in, scan_line(d, in));
}

void smtp_data_chunks_end(struct smtp_data *d)
{
	if (d->at == DATA_CR)
		d->odd |= DATA_BARE_CR;
}

const char *smtp_data_oddity(const struct smtp_data *d)
{
	if (d->odd & DATA_BARE_LF)
		return "a bare LF";
	if (d->odd & DATA_BARE_CR)
		return "a bare CR";
	return d->odd & DATA_NUL ? "a NUL" : NULL;
}
