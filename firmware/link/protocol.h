/* The numbers of the protocol; docs/protocol.md says what they mean, hil/link/messages.py is the other side. */
#ifndef HIL_PROTOCOL_H
#define HIL_PROTOCOL_H

#define HIL_LINK_VERSION 3u
#define HIL_LINK_HEADER 8u /* version, kind, sequence (2), payload bytes (2), status, zero */
#define HIL_LINK_CRC 4u
#define HIL_LINK_MTU 1024u /* the largest payload */
#define HIL_LINK_REPEAT 1024u /* the most inferences of one run */
#define HIL_LINK_EVENT 52u /* the largest payload of an event */

/* Requests; the answer to request K is K + 0x80. */
enum {
    HIL_HELLO = 1,
    HIL_TENSORS = 2,
    HIL_WRITE = 3,
    HIL_READ = 4,
    HIL_PAINT = 5,
    HIL_RUN = 6,
    HIL_STATUS = 7,
    HIL_MEMORY = 8,
    HIL_TIME = 9,
    HIL_ECHO = 10,
    HIL_ANSWER = 0x80
};

/* What the device sends unasked. */
enum { HIL_DONE = 0x40, HIL_LOG = 0x41, HIL_FAULT = 0x42 };

/* The status of an answer. */
enum {
    HIL_LINK_OK = 0,
    HIL_LINK_UNKNOWN = 1,    /* no such request */
    HIL_LINK_LENGTH = 2,     /* the payload is too short or too long for this request */
    HIL_LINK_RANGE = 3,      /* reaches outside the arena, the tensors, or the steps */
    HIL_LINK_NO_PROGRAM = 4, /* the engine refused the program; HELLO says why */
    HIL_LINK_NO_SESSION = 5, /* no HELLO since the device started */
    HIL_LINK_VERSION_DIFFERS = 6
};

/* The state in a run's result. */
enum { HIL_NEVER_RAN = 0, HIL_RUNNING = 1, HIL_FINISHED = 2 };

/* The reason in a fault report. */
enum { HIL_HARD_FAULT = 1, HIL_NMI = 2, HIL_OTHER_EXCEPTION = 3 };

#endif
