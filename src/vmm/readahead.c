/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/readahead.h"

/* A stream may skip so many pages and is still the same one: some of its
 * pages were resident. */
#define SLACK 8u

static uint32_t grow(struct readahead_stream *s, uint64_t page)
{
	s->window = s->window * 2 < READAHEAD_MAX ? s->window * 2 : READAHEAD_MAX;
	s->next = page + s->window;
	return s->window;
}

uint32_t readahead_fault(struct readahead *r, uint64_t page)
{
	struct readahead_stream *oldest = &r->stream[0];

	r->clock++;
	for (int i = 0; i < READAHEAD_STREAMS; i++) {
		struct readahead_stream *s = &r->stream[i];

		if (s->window && page >= s->next && page - s->next < SLACK) {
			s->used = r->clock;
			return grow(s, page);
		}
		if ((int32_t)(s->used - oldest->used) < 0)
			oldest = s;
	}
	*oldest = (struct readahead_stream){ page + 1, 1, r->clock };
	return 1;
}

uint32_t readahead_hit(struct readahead *r, uint64_t page, uint64_t *from)
{
	for (int i = 0; i < READAHEAD_STREAMS; i++) {
		struct readahead_stream *s = &r->stream[i];

		/* in the window that was read last */
		if (s->window < 2 || page >= s->next || s->next - page > s->window)
			continue;
		s->used = ++r->clock;
		*from = s->next;
		return grow(s, s->next);
	}
	return 0;
}
