/* What a node says: the most urgent frame that it owes somebody. */
#include "node.h"

static void send(hil_net_node *node, hil_net_head *head, uint32_t peers)
{
    head->source = (uint8_t)node->engine->node;
    head->peers = (uint16_t)peers;
    node->out_peers = peers;
    node->out_bytes = hil_net_pack(node->out, head);
}

static bool say_reply(hil_net_node *node)
{
    if (node->reply.kind == 0u) {
        return false;
    }
    hil_net_head head = {.kind = node->reply.kind, .run = node->reply.run, .transfer = node->reply.transfer};
    node->reply.kind = 0;
    send(node, &head, 1u << node->reply.peer);
    return true;
}

/* Everything but data: an ACK, a CREDIT or a PROBE. */
static bool say_word(hil_net_node *node, uint32_t index)
{
    hil_net_transfer *transfer = &node->transfers[index];
    const hil_message message = hil_net_message(node, index);
    const hil_step *step = message.step;
    const uint32_t total = hil_message_bytes(&message);
    hil_net_head head = {.run = node->run, .transfer = step->box.c0, .offset = transfer->at, .total = total};
    uint32_t peers = step->box.c1;
    if ((transfer->flags & HIL_OWE_ACK) != 0u) {
        head.kind = HIL_NET_ACK;
        transfer->flags &= (uint16_t)~HIL_OWE_ANY;
    } else if ((transfer->flags & (HIL_OWE_AGAIN | HIL_OWE_GRANT)) != 0u) {
        const uint32_t blocks = hil_net_blocks(total);
        const uint32_t level = transfer->at / HIL_NET_BLOCK + 2u;
        transfer->level = (uint16_t)(level < blocks ? level : blocks);
        if ((transfer->flags & HIL_OWE_AGAIN) != 0u) {
            transfer->behind = (uint16_t)(transfer->behind == 0xffffu ? 1u : transfer->behind + 1u);
            head.sequence = transfer->behind;
        }
        const uint32_t granted = transfer->level * HIL_NET_BLOCK;
        head.kind = HIL_NET_CREDIT;
        head.total = (granted < total ? granted : total) - transfer->at;
        transfer->flags &= (uint16_t)~HIL_OWE_ANY;
    } else if ((transfer->flags & HIL_OWE_PROBE) != 0u) {
        head.kind = HIL_NET_PROBE;
        peers &= ~(uint32_t)transfer->acked;
        transfer->flags &= (uint16_t)~HIL_OWE_ANY;
    } else {
        return false;
    }
    send(node, &head, peers);
    return true;
}

/* Data: first what some receivers missed, then what all have granted. */
static bool say_data(hil_net_node *node, uint32_t index)
{
    hil_net_transfer *transfer = &node->transfers[index];
    const hil_message message = hil_net_message(node, index);
    if (message.step->kind != HIL_STEP_SEND || (transfer->flags & HIL_COMPLETE) != 0u) {
        return false;
    }
    transfer->behind &= (uint16_t)~transfer->acked;
    if (transfer->behind == 0u) {
        transfer->at = transfer->high; /* all who missed something have it meanwhile */
    }
    const uint32_t total = hil_message_bytes(&message);
    const uint32_t granted = transfer->level * HIL_NET_BLOCK;
    const bool repair = transfer->at < transfer->high;
    const uint32_t end = repair ? transfer->high : granted < total ? granted : total;
    const uint32_t peers = repair ? transfer->behind : message.step->box.c1 & ~(uint32_t)transfer->acked;
    if (transfer->at == end) {
        return false;
    }
    const uint32_t length = end - transfer->at < HIL_NET_MTU ? end - transfer->at : HIL_NET_MTU;
    hil_message_read(&message, transfer->at, node->out + HIL_NET_HEADER, length);
    hil_net_head head = {.kind = HIL_NET_DATA,
                         .length = (uint16_t)length,
                         .run = node->run,
                         .transfer = message.step->box.c0,
                         .sequence = node->sequence++,
                         .offset = transfer->at,
                         .total = total};
    transfer->at += length;
    if (transfer->at >= transfer->high) {
        transfer->high = transfer->at;
        transfer->behind = 0;
    }
    send(node, &head, peers);
    return true;
}

void hil_net_speak(hil_net_node *node)
{
    if (say_reply(node)) {
        return;
    }
    for (uint32_t i = 0; i < node->count; i++) {
        if ((node->transfers[i].flags & HIL_OWE_ANY) != 0u && say_word(node, i)) {
            return;
        }
    }
    for (uint32_t i = 0; i < node->count; i++) {
        const uint32_t index = node->turn < node->count ? node->turn : 0u;
        if (say_data(node, index)) {
            return; /* the same goes on: its receivers wait for the least time so */
        }
        node->turn = index + 1u;
    }
    node->work = false;
}

void hil_net_grant(hil_net_node *node)
{
    uint32_t coming = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        hil_net_transfer *transfer = &node->transfers[i];
        const hil_message message = hil_net_message(node, i);
        if (message.step->kind != HIL_STEP_RECEIVE || (transfer->flags & HIL_COMPLETE) != 0u) {
            continue;
        }
        const uint32_t rest = hil_message_bytes(&message) - transfer->at;
        const uint32_t most = rest < 2u * HIL_NET_BLOCK ? rest : 2u * HIL_NET_BLOCK;
        if ((transfer->flags & HIL_GRANTED) == 0u) {
            if (coming > 0u && (coming > HIL_NET_ROOM || most > HIL_NET_ROOM - coming)) {
                return; /* in order: where several nodes wait for each other, somebody is first everywhere */
            }
            transfer->flags |= HIL_GRANTED | HIL_OWE_GRANT;
            node->work = true;
        }
        coming += most;
    }
}
