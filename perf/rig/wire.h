/* The generator's end of the wires; src/rig/wire.rs has the same structures. */
#ifndef SLUICE_WIRE_H
#define SLUICE_WIRE_H

#include "rig.h"

/* What a side sends, and where stamps are. */
struct wire_side {
	const uint8_t *records; /* as the rig plays them */
	uint64_t total;         /* frames to send */
	uint32_t count;         /* records */
	uint32_t stride;
	uint32_t stamp_in;      /* offset of the stamp in frames that this side sends */
	uint32_t stamp_out;     /* and in those that arrive at it */
};

struct wire_load {
	struct wire_side sides[RIG_SIDES];
	uint64_t interval; /* cycles between two frames of a side, times 65536 */
	uint64_t patience; /* cycles to wait for the last frames */
	uint32_t *latencies; /* of frames received, in cycles */
	uint64_t room;       /* of them */
	uint32_t tag;        /* 4 bits: tells frames of this run from those of the one before */
	uint32_t reserved;
	/* what came of it */
	uint64_t begin, end; /* when the first frame was due, when the last was sent */
	uint64_t sent, refused, received, strangers;
	uint64_t longest_gap; /* cycles in which the generator did not look at its schedule */
};

/* The time stamp counter now. */
uint64_t sluice_time_stamp(void);

struct wire;
struct wire *sluice_wire_open(const char *path, uint32_t slots);
void sluice_wire_close(struct wire *wire);
void sluice_wire_drain(struct wire *wire, uint64_t quiet);
void sluice_wire_run(struct wire *wire, struct wire_load *load);

#endif
