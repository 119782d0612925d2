/* What the parts of a node share: the state of the exchange that goes on. Only firmware/net looks at it. */
#ifndef HIL_NET_NODE_H
#define HIL_NET_NODE_H

#include "frame.h"
#include "message.h"
#include "net.h"

/* A receiver grants whole blocks: always this one and the next. So a sender needs no word a receiver, but bits. */
#define HIL_NET_BLOCK 2048u
#define HIL_NET_EARLY 30u

/* Bytes of data that may be on their way to this node at a time. A UART stops its peer; what else there is says more. */
#ifndef HIL_NET_ROOM
#define HIL_NET_ROOM 12288u
#endif

/* What a transfer still has to say, and what is known about it. */
enum {
    HIL_OWE_ACK = 1,    /* RECEIVE: all is here */
    HIL_OWE_GRANT = 2,  /* RECEIVE: go on */
    HIL_OWE_AGAIN = 4,  /* RECEIVE: go on from here, whatever was sent already */
    HIL_OWE_PROBE = 8,  /* SEND: is anything missing? */
    HIL_OWE_ANY = 15,
    HIL_GRANTED = 16,   /* RECEIVE: the sender may send */
    HIL_HEARD = 32,     /* RECEIVE: the sender knows it */
    HIL_ASKED = 64,     /* RECEIVE: a gap was complained about */
    HIL_COMPLETE = 128
};

typedef struct {
    uint32_t at;   /* SEND: the next byte to send; RECEIVE: the next byte wanted */
    uint32_t high; /* SEND: bytes that were sent to all */
    uint16_t level;     /* blocks that are granted: SEND by all receivers, RECEIVE by this one */
    uint16_t near, far; /* SEND: receivers that granted one block more, and two */
    uint16_t acked;     /* SEND: receivers that have all */
    uint16_t behind;    /* SEND: receivers to which [at, high) goes once more; RECEIVE: times that it asked for that */
    uint16_t flags;
} hil_net_transfer;

/* A grant that came before this node was there. */
typedef struct {
    uint32_t run, transfer;
    uint16_t peers; /* 0: the entry is free */
} hil_net_early;

typedef struct {
    uint8_t kind; /* 0: none */
    uint8_t peer;
    uint32_t run, transfer;
} hil_net_reply;

enum { HIL_NET_IDLE = 0, HIL_NET_WAITS = 1, HIL_NET_RUNS = 2 };

typedef struct {
    const hil_engine *engine;
    void *user;
    hil_net_job job;
    uint32_t state;    /* HIL_NET_IDLE .. */
    uint32_t run;      /* of the inference that goes on */
    uint32_t started;  /* us, when the run began */
    uint32_t exchange; /* its number in this inference */
    hil_status status; /* of the run so far */
    uint32_t peer;     /* whom a bad status is about */
    uint32_t dropped;
    bool told; /* the failure came from a peer, who has told everybody */

    uint32_t first, count; /* steps of the exchange that goes on; count 0: none does */
    uint32_t passed;       /* transfers below this number are done with */
    uint32_t left;         /* transfers that are not complete */
    uint32_t turn;         /* the transfer that may send data next */
    bool work;             /* there may be something to say */
    bool progress;         /* something got done since the clock was looked at */

    uint32_t out_bytes; /* of the frame that is being sent, or 0 */
    uint32_t out_peers;
    uint32_t sequence; /* of DATA frames, for whoever looks at the wire */
    hil_net_reply reply;
    hil_net_transfer transfers[HIL_MAX_EXCHANGE];
    hil_net_early early[HIL_NET_EARLY];
    _Alignas(4) uint8_t in[HIL_NET_FRAME];
    _Alignas(4) uint8_t out[HIL_NET_FRAME];
} hil_net_node;

/* The step and the record of transfer `index` of the exchange. */
hil_message hil_net_message(const hil_net_node *node, uint32_t index);

/* hear.c: takes what arrived, `bytes` in node->in. */
void hil_net_hear(hil_net_node *node, uint32_t bytes);

/* hear.c: takes the grants that came early for transfer `index`, a SEND. */
void hil_net_recall(hil_net_node *node, uint32_t index);

/* speak.c: builds the next frame to send in node->out, and sets out_bytes; if there is none, node->work becomes false. */
void hil_net_speak(hil_net_node *node);

/* speak.c: grants to those RECEIVEs of the exchange that there is room for, in their order. */
void hil_net_grant(hil_net_node *node);

/* The first error of a run stays. */
static inline void hil_net_fail(hil_net_node *node, hil_status status, uint32_t peer)
{
    if (node->status == HIL_OK) {
        node->status = status;
        node->peer = peer;
    }
}

static inline bool hil_net_has(uint32_t mask, uint32_t node)
{
    return (mask >> node & 1u) != 0u;
}

static inline uint32_t hil_net_blocks(uint32_t bytes)
{
    return (bytes + HIL_NET_BLOCK - 1u) / HIL_NET_BLOCK;
}

#endif
