#include "checksum.h"

#include <stdbool.h>

#define POLYNOMIAL 0x82F63B78u

static uint32_t tables[8][256]; /* [k][b]: of the byte b and k zero bytes */

static void tables_make(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        tables[0][b] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++) tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xFF];
}

uint32_t lm_checksum(uint32_t before, const void *bytes, size_t n)
{
    static bool made;
    if (!made) tables_make();
    made = true;
    const unsigned char *p = bytes;
    uint32_t crc = ~before;
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^ tables[4][low >> 24] ^
              tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
    }
    for (; n > 0; n--, p++) crc = crc >> 8 ^ tables[0][(crc ^ *p) & 0xFF];
    return ~crc;
}
