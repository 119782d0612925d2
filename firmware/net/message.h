/* The bytes of a message: runs [r0, r1) of a TRANSFER record, one after the other, wherever they lie in the arena. */
#ifndef HIL_NET_MESSAGE_H
#define HIL_NET_MESSAGE_H

#include "hil_program.h"
#include "kernels/kernels.h"

/* A message, as its step and its record say. */
typedef struct {
    const hil_step *step;
    const hil_transfer *record;
    uint8_t *arena;
} hil_message;

uint32_t hil_message_bytes(const hil_message *message);

/* Copies `bytes` from `offset` on out of the arena. */
void hil_message_read(const hil_message *message, uint32_t offset, uint8_t *to, uint32_t bytes);

/* Puts `bytes` at `offset` into the arena; a record with `add` adds them, int32 words, to what is there: offset and
 * bytes are multiples of 4 then, and `from` is aligned to words. */
void hil_message_write(const hil_message *message, uint32_t offset, const uint8_t *from, uint32_t bytes);

#endif
