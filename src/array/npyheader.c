#include "npyheader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool fail(lm_npyheader *h, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(h->error, sizeof h->error, format, arguments);
    va_end(arguments);
    return false;
}

uint64_t lm_npylength(const unsigned char *bytes, size_t n, lm_npyheader *h)
{
    if (n < 6 || memcmp(bytes, "\x93NUMPY", 6)) return fail(h, "magic: this is not a .npy file");
    if (n < 10) return fail(h, "version: the file ends within it");
    int version = bytes[6];
    if (version < 1 || version > 3 || bytes[7] != 0)
        return fail(h, "version: %d.%d, known are 1.0, 2.0 and 3.0", bytes[6], bytes[7]);
    if (version == 1) return 10 + (uint64_t)bytes[8] + ((uint64_t)bytes[9] << 8);
    if (n < 12) return fail(h, "header length: the file ends within it");
    return 12 + (uint64_t)bytes[8] + ((uint64_t)bytes[9] << 8) + ((uint64_t)bytes[10] << 16) + ((uint64_t)bytes[11] << 24);
}

/* --- the dictionary: the subset of Python's literals that a header is made of --------------------------- */

typedef struct text {
    const char *at, *end;
} text;

static void skip_space(text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n' || *t->at == '\r')) t->at++;
}

static bool take(text *t, char c)
{
    skip_space(t);
    if (t->at == t->end || *t->at != c) return false;
    t->at++;
    return true;
}

static bool take_word(text *t, const char *word)
{
    skip_space(t);
    size_t n = strlen(word);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n)) return false;
    t->at += n;
    return true;
}

/* A string in either quotes; no escapes occur in what we know. */
static bool take_string(text *t, char *to, size_t room)
{
    char quote = take(t, '\'') ? '\'' : take(t, '"') ? '"' : 0;
    if (!quote) return false;
    size_t n = 0;
    for (; t->at < t->end && *t->at != quote; t->at++) {
        unsigned char c = (unsigned char)*t->at;
        if (n + 1 >= room || c < ' ' || c > '~' || c == '\\') return false;
        to[n++] = (char)c;
    }
    to[n] = 0;
    return take(t, quote);
}

static bool parse_descr(text *t, lm_npyheader *h)
{
    char descr[32];
    skip_space(t);
    if (t->at < t->end && *t->at == '[') return fail(h, "descr: structured elements; arrays hold plain numbers");
    if (!take_string(t, descr, sizeof descr)) return fail(h, "descr: not a short string");
    for (int d = 0; d < LM_DTYPES; d++) {
        const char *code = lm_dtypes[d].code;
        bool order = descr[0] == '<' || descr[0] == '=' || (descr[0] == '|' && lm_dtypes[d].size == 1) ||
                     (descr[0] == '>' && lm_dtypes[d].size == 1);
        if (order && !strcmp(descr + 1, code + 1)) {
            h->dtype = (lm_dtype)d;
            return true;
        }
        if (descr[0] == '>' && !strcmp(descr + 1, code + 1))
            return fail(h, "descr: '%s' is big-endian; convert it with a.astype('%s')", descr, code);
    }
    if (!strcmp(descr, "|b1")) {
        h->dtype = LM_UINT8;
        return true;
    }
    if (!strcmp(descr, "|O")) return fail(h, "descr: Python objects; arrays hold numbers");
    return fail(h, "descr: '%s' is none of the ten dtypes", descr);
}

static bool parse_order(text *t, lm_npyheader *h)
{
    if (take_word(t, "True")) h->fortran = true;
    else if (take_word(t, "False")) h->fortran = false;
    else return fail(h, "fortran_order: neither True nor False");
    return true;
}

static bool parse_shape(text *t, lm_npyheader *h)
{
    if (!take(t, '(')) return fail(h, "shape: not a tuple");
    h->ndim = 0;
    while (!take(t, ')')) {
        skip_space(t);
        if (t->at < t->end && *t->at == '-') return fail(h, "shape: negative");
        if (t->at == t->end || *t->at < '0' || *t->at > '9') return fail(h, "shape: not a tuple of integers");
        if (h->ndim == LM_NPYDIM) return fail(h, "shape: more than %d dimensions", LM_NPYDIM);
        int64_t extent = 0;
        for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
            if (__builtin_mul_overflow(extent, 10, &extent) || __builtin_add_overflow(extent, *t->at - '0', &extent))
                return fail(h, "shape: a dimension beyond 2^63");
        if (t->at < t->end && *t->at == 'L') t->at++; /* Python 2 */
        h->shape[h->ndim++] = extent;
        if (take(t, ',')) continue;
        if (!take(t, ')')) return fail(h, "shape: not a tuple of integers");
        if (h->ndim == 1) return fail(h, "shape: not a tuple");
        break;
    }
    h->size = 1;
    for (int d = 0; d < h->ndim; d++)
        if (h->shape[d] == 0) h->size = 0;
    for (int d = 0; d < h->ndim; d++)
        if (__builtin_mul_overflow(h->size, h->shape[d], &h->size))
            return fail(h, "shape: more than 2^63 elements");
    return true;
}

bool lm_npyparse(const unsigned char *bytes, size_t n, lm_npyheader *h)
{
    static const struct {
        const char *key;
        bool (*parse)(text *, lm_npyheader *);
    } fields[] = {{"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};
    uint64_t length = lm_npylength(bytes, n, h);
    if (length == 0) return false;
    if (length > LM_NPYMAXHEADER)
        return fail(h, "header length: %" PRIu64 " bytes, at most %d make sense", length, LM_NPYMAXHEADER);
    if (length > n) return fail(h, "header length: %" PRIu64 " bytes, the file has %zu", length, n);
    h->offset = length;
    text t = {(const char *)bytes + (bytes[6] == 1 ? 10 : 12), (const char *)bytes + length};
    unsigned seen = 0;
    if (!take(&t, '{')) return fail(h, "header: not a dictionary");
    while (!take(&t, '}')) {
        char key[32];
        size_t f = 0;
        if (!take_string(&t, key, sizeof key) || !take(&t, ':')) return fail(h, "header: not a dictionary");
        while (f < 3 && strcmp(key, fields[f].key)) f++;
        if (f == 3) return fail(h, "header: unknown key '%s'", key);
        if (seen & 1u << f) return fail(h, "%s: given twice", key);
        seen |= 1u << f;
        if (!fields[f].parse(&t, h)) return false;
        if (take(&t, ',')) continue;
        if (!take(&t, '}')) return fail(h, "%s: what follows it is not a dictionary's", key);
        break;
    }
    skip_space(&t);
    if (t.at != t.end) return fail(h, "header: something follows the dictionary");
    for (size_t f = 0; f < 3; f++)
        if (!(seen & 1u << f)) return fail(h, "%s: missing", fields[f].key);
    int64_t bytes_in_all;
    if (__builtin_mul_overflow(h->size, lm_dtypes[h->dtype].size, &bytes_in_all))
        return fail(h, "shape: more than 2^63 bytes");
    return true;
}

size_t lm_npyformat(lm_dtype dtype, int ndim, const int64_t *shape, char *to)
{
    size_t room = LM_NPYROOM, n = 10;
    n += (size_t)snprintf(to + n, room - n, "{'descr': '%s', 'fortran_order': False, 'shape': (", lm_dtypes[dtype].code);
    for (int d = 0; d < ndim; d++) n += (size_t)snprintf(to + n, room - n, d ? ", %" PRId64 : "%" PRId64, shape[d]);
    n += (size_t)snprintf(to + n, room - n, ndim == 1 ? ",), }" : "), }");
    size_t padded = (n + 1 + 63) / 64 * 64;
    memset(to + n, ' ', padded - n);
    to[padded - 1] = '\n';
    memcpy(to, "\x93NUMPY\x01", 7);
    to[7] = 0;
    to[8] = (char)((padded - 10) & 0xff);
    to[9] = (char)((padded - 10) >> 8);
    return padded;
}
