/* What a node hears: every frame is checked against the steps of its own program before anything is stored. */
#include <stddef.h>

#include "node.h"

/* True for a run that is behind this node, or a transfer of this run that is. */
static bool is_past(const hil_net_node *node, const hil_net_head *head)
{
    if (head->run != node->run) {
        return head->run - node->job.run < node->run - node->job.run;
    }
    return node->state == HIL_NET_IDLE || head->transfer < node->passed;
}

/* The transfer of the exchange that goes on that a frame is about, of that kind and with that peer; `count` if none. */
static uint32_t find(const hil_net_node *node, const hil_net_head *head, uint32_t kind)
{
    for (uint32_t i = 0; i < node->count && head->run == node->run; i++) {
        const hil_step *step = hil_net_message(node, i).step;
        if (step->box.c0 == head->transfer && step->kind == kind && hil_net_has(step->box.c1, head->source)) {
            return i;
        }
    }
    return node->count;
}

/* Blocks that all receivers have granted by now. */
static void raise_level(hil_net_node *node, hil_net_transfer *transfer, uint32_t peers, uint32_t blocks)
{
    while (transfer->level < blocks && (peers & ~((uint32_t)transfer->near | transfer->acked)) == 0u) {
        transfer->level++;
        transfer->near = transfer->far;
        transfer->far = 0;
        node->progress = true;
    }
    node->work = true;
}

static void remember(hil_net_node *node, const hil_net_head *head)
{
    hil_net_early *place = NULL;
    for (uint32_t i = 0; i < HIL_NET_EARLY; i++) {
        hil_net_early *entry = &node->early[i];
        if (entry->peers != 0u && entry->run == head->run && entry->transfer == head->transfer) {
            entry->peers |= (uint16_t)(1u << head->source);
            return;
        }
        if (entry->peers == 0u) {
            place = entry;
        }
    }
    if (place == NULL) {
        node->dropped++; /* it is granted again when this node asks for it */
        return;
    }
    const hil_net_early first = {head->run, head->transfer, (uint16_t)(1u << head->source)};
    *place = first;
}

void hil_net_recall(hil_net_node *node, uint32_t index)
{
    const hil_message message = hil_net_message(node, index);
    const hil_step *step = message.step;
    for (uint32_t i = 0; i < HIL_NET_EARLY; i++) {
        hil_net_early *entry = &node->early[i];
        if (entry->peers != 0u && entry->run == node->run && entry->transfer == step->box.c0) {
            hil_net_transfer *transfer = &node->transfers[index];
            transfer->near = (uint16_t)(entry->peers & step->box.c1);
            transfer->far = transfer->near;
            raise_level(node, transfer, step->box.c1, hil_net_blocks(hil_message_bytes(&message)));
            entry->peers = 0;
        }
    }
}

static void on_credit(hil_net_node *node, const hil_net_head *head)
{
    const uint32_t index = find(node, head, HIL_STEP_SEND);
    if (index == node->count) {
        if (!is_past(node, head)) {
            remember(node, head);
        }
        return;
    }
    hil_net_transfer *transfer = &node->transfers[index];
    const hil_message message = hil_net_message(node, index);
    const uint32_t total = hil_message_bytes(&message);
    const uint32_t bit = 1u << head->source;
    if (head->offset > total || head->total > total - head->offset) {
        hil_net_fail(node, HIL_NET_BROKEN, head->source);
        return;
    }
    if (hil_net_has(transfer->acked, head->source)) {
        return;
    }
    const uint32_t end = head->offset + head->total;
    const uint32_t blocks = hil_net_blocks(total);
    const uint32_t level = end == total ? blocks : end / HIL_NET_BLOCK;
    transfer->near |= (uint16_t)(level > transfer->level ? bit : 0u);
    transfer->far |= (uint16_t)(level > transfer->level + 1u ? bit : 0u);
    raise_level(node, transfer, message.step->box.c1, blocks);
    if (head->sequence != 0u && head->offset < transfer->high) {
        transfer->at = head->offset < transfer->at ? head->offset : transfer->at;
        transfer->behind |= (uint16_t)bit;
    }
}

/* Of a transfer that this node is done with, or gave up: the word that said so got lost. */
static void answer_late(hil_net_node *node, const hil_net_head *head)
{
    const bool failed = node->state == HIL_NET_IDLE && node->status != HIL_OK && head->run == node->run;
    const bool sends = head->kind == HIL_NET_DATA || head->kind == HIL_NET_PROBE;
    const bool waits = sends || head->kind == HIL_NET_CREDIT;
    if (node->reply.kind == 0u && (failed ? waits : sends && is_past(node, head))) {
        const hil_net_reply reply = {failed ? HIL_NET_ABORT : HIL_NET_ACK, head->source, head->run, head->transfer};
        node->reply = reply;
        node->work = true;
    }
}

static void store(hil_net_node *node, uint32_t index, const hil_net_head *head, const hil_message *message)
{
    hil_net_transfer *transfer = &node->transfers[index];
    const uint32_t total = hil_message_bytes(message);
    hil_message_write(message, head->offset, node->in + HIL_NET_HEADER, head->length);
    node->progress = true;
    transfer->at += head->length;
    transfer->flags &= (uint16_t)~HIL_ASKED;
    if (transfer->at == total) {
        transfer->flags = (uint16_t)((transfer->flags & ~HIL_OWE_ANY) | HIL_COMPLETE | HIL_OWE_ACK);
        node->left--;
        hil_net_grant(node);
    } else if (transfer->level < hil_net_blocks(total) && transfer->at / HIL_NET_BLOCK + 2u > transfer->level) {
        transfer->flags |= HIL_OWE_GRANT;
    } else {
        return;
    }
    node->work = true;
}

static void on_data(hil_net_node *node, const hil_net_head *head)
{
    const uint32_t index = find(node, head, HIL_STEP_RECEIVE);
    if (index == node->count) {
        answer_late(node, head);
        return;
    }
    hil_net_transfer *transfer = &node->transfers[index];
    const hil_message message = hil_net_message(node, index);
    if (head->total != hil_message_bytes(&message)) {
        hil_net_fail(node, HIL_NET_BROKEN, head->source);
        return;
    }
    transfer->flags |= HIL_HEARD;
    if ((transfer->flags & HIL_COMPLETE) != 0u) {
        transfer->flags |= HIL_OWE_ACK;
        node->work = true;
    } else if (head->kind == HIL_NET_PROBE) {
        /* Asked before the grant came there: it is said once more. Asked after data that is not here: that got lost. */
        const uint32_t word = head->offset > transfer->at ? HIL_OWE_AGAIN : HIL_OWE_GRANT;
        transfer->flags |= (uint16_t)((transfer->flags & HIL_GRANTED) != 0u ? word : 0u);
        node->work = true;
    } else if (head->offset == transfer->at && head->length <= head->total - head->offset &&
               (transfer->flags & HIL_GRANTED) != 0u && (message.record->add == 0 || (head->length & 3u) == 0u)) {
        store(node, index, head, &message);
    } else {
        node->dropped++;
        if (head->offset > transfer->at && (transfer->flags & (HIL_ASKED | HIL_GRANTED)) == HIL_GRANTED) {
            transfer->flags |= HIL_ASKED | HIL_OWE_AGAIN;
            node->work = true;
        }
    }
}

static void on_ack(hil_net_node *node, const hil_net_head *head)
{
    const uint32_t index = find(node, head, HIL_STEP_SEND);
    if (index == node->count) {
        return;
    }
    hil_net_transfer *transfer = &node->transfers[index];
    const hil_message message = hil_net_message(node, index);
    const uint32_t peers = message.step->box.c1;
    const uint32_t total = hil_message_bytes(&message);
    if (transfer->high != total) {
        hil_net_fail(node, HIL_NET_BROKEN, head->source); /* of bytes that were never sent */
        return;
    }
    if (hil_net_has(transfer->acked, head->source)) {
        return;
    }
    transfer->acked |= (uint16_t)(1u << head->source);
    node->progress = true;
    raise_level(node, transfer, peers, hil_net_blocks(total));
    if (transfer->acked == peers) {
        transfer->flags = HIL_COMPLETE;
        node->left--;
    }
}

void hil_net_hear(hil_net_node *node, uint32_t bytes)
{
    hil_net_head head;
    if (!hil_net_unpack(node->in, bytes, node->engine->nodes, &head)) {
        node->dropped++;
        return;
    }
    if (!hil_net_has(head.peers, node->engine->node) || head.source == node->engine->node) {
        return; /* on a shared wire everybody hears everything */
    }
    if (head.run - node->job.run >= node->job.repeat) {
        return; /* of a run that is not this one */
    }
    if (node->state == HIL_NET_WAITS) {
        node->state = HIL_NET_RUNS;
    }
    if (node->state == HIL_NET_IDLE) {
        answer_late(node, &head);
    } else if (head.kind == HIL_NET_DATA || head.kind == HIL_NET_PROBE) {
        on_data(node, &head);
    } else if (head.kind == HIL_NET_CREDIT) {
        on_credit(node, &head);
    } else if (head.kind == HIL_NET_ACK) {
        on_ack(node, &head);
    } else if (head.kind == HIL_NET_ABORT) {
        node->told = true;
        hil_net_fail(node, HIL_NET_ABORTED, head.source);
    }
}
