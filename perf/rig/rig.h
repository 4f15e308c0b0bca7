/* The test bed inside a contestant's process: what is shared with whoever measures.
 *
 * One control file holds all of it; src/rig/control.rs writes and reads the same layout.
 *
 *   0       struct rig_control     written by the measuring process
 *   4096    struct rig_reading[4]  written by the contestant, one for each queue
 *   65536   struct rig_sample[256] written by the contestant
 */
#ifndef SLUICE_RIG_H
#define SLUICE_RIG_H

#include <stdint.h>

#define RIG_MAGIC 0x5257u
#define RIG_SIDES 2
#define RIG_QUEUES 4
#define RIG_READINGS_AT 4096
#define RIG_SAMPLES_AT 65536
#define RIG_SAMPLES 256
#define RIG_SAMPLE_ROOM 2024
#define RIG_FILE_SIZE (RIG_SAMPLES_AT + RIG_SAMPLES * 2048)

/* What a port receives. */
struct rig_feed {
	uint64_t offset;  /* of its records in the records file */
	uint32_t count;   /* records; 0: nothing but what is turned round */
	uint32_t stride;  /* bytes a record: 64, 128 or 192; the last two say how long the frame is */
	uint32_t turned;  /* not 0: what this port sends comes back to it with source and destination swapped */
	uint32_t lap_at;  /* offset of a 16-bit field that grows by one each time the records start over; 0: none */
	uint32_t parts;   /* queues that share the records: each plays its part of them; 0 and 1: all play all */
	uint32_t wire;    /* not 0: frames come from and go to the wire file instead, of this many slots a ring */
};

/* The wire file: for each side a ring towards the contestant and one from it, one after the other.
 *
 * A ring is a line with the count of frames put in, a line with that of frames taken out, and slots. A slot is
 * the length of a frame and its beginning; what follows in a longer frame is zeros, as in records. One process
 * puts in, one takes out; the contestant's end is that of its queue 0.
 */
#define RIG_SLOT 128u
#define RIG_SLOT_HEAD 4u
struct rig_ring {
	uint64_t put;
	uint64_t reserved[15];
	uint64_t taken;
	uint64_t reserved_too[15];
	uint8_t slots[];
};
#define RIG_RING_SIZE(slots) (sizeof(struct rig_ring) + (uint64_t)(slots) * RIG_SLOT)
/* Where a side's ring is: 0 towards the contestant, 1 from it. */
#define RIG_RING_AT(side, from, slots) (((side) * 2u + (from)) * RIG_RING_SIZE(slots))

struct rig_control {
	uint32_t magic;
	uint32_t epoch;       /* grows with every change */
	uint32_t delay;       /* frames that wait on every receive and transmit line */
	uint32_t answer_arp;  /* not 0: requests are answered with the MAC 02:aa:<address> */
	uint32_t sample_mask; /* a frame of one in (mask + 1) transmit bursts is kept */
	uint32_t timed;       /* not 0: the time that each side's packets take is told apart */
	struct rig_feed feed[RIG_SIDES];
	char records[256];    /* path of the records file */
	char wire[256];       /* path of the wire file */
};

/* A consistent reading: `seq` is odd while it is written. */
struct rig_reading {
	uint64_t seq;
	uint64_t tsc;
	uint64_t cpu_ns;  /* CPU time of the polling thread */
	uint64_t wall_ns; /* CLOCK_MONOTONIC_RAW */
	uint64_t rx[RIG_SIDES];
	uint64_t tx[RIG_SIDES];
	uint64_t laps;      /* times the records of any side started over */
	uint64_t no_buffer; /* bursts that were not delivered because the pool was empty */
	uint64_t overflow;  /* frames lost because a line was full */
	uint64_t spent[RIG_SIDES]; /* cycles between handing out a side's packets and the next call for some, when timed */
	uint32_t epoch;     /* of the control structure that is in force */
	uint32_t tid;
};

struct rig_sample {
	uint64_t seq; /* twice the number of the sample; odd while it is written */
	uint32_t len;
	uint16_t side;
	uint16_t queue;
	uint64_t epoch;
	uint8_t data[RIG_SAMPLE_ROOM];
};

/* Maps the control file. 0, or -1 when that is not possible. */
int sluice_rig_open(const char *path);

/* Replaces the receive and transmit functions of a started port. 0, or -1 when there is no such port or it
 * delivers no buffer. */
int sluice_rig_attach(const char *device, uint32_t side);

#endif
