/* Writing results that are too large for the caches: past them, straight to memory. */
#ifndef LM_STREAM_H
#define LM_STREAM_H

#include <stddef.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define LM_STREAM ((size_t)4 << 20) /* bytes of result from which on it pays */

/* memcpy of a piece; `to` is 16-byte aligned. */
static inline void lm_stream(void *to, const void *from, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 16 <= n; i += 16)
        _mm_stream_si128((__m128i *)((char *)to + i), _mm_loadu_si128((const __m128i *)((const char *)from + i)));
#endif
    memcpy((char *)to + i, (const char *)from + i, n - i);
}

/* After the last piece, before anyone else looks at the memory. */
static inline void lm_endstream(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

#endif
