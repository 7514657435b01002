/* CRC-32C, the checksum of iSCSI and ext4. */
#ifndef LM_CHECKSUM_H
#define LM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Of the bytes before, whose checksum is `before` (0: none), and these. */
uint32_t lm_checksum(uint32_t before, const void *bytes, size_t n);

#endif
