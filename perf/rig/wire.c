/* The other end of the wires: sends frames by schedule and receives what comes back, in a process of its own.
 *
 * Every frame carries its number, 32 bits, and the same inverted, which leaves checksums as they were. Its
 * latency counts from when it was due, not from when it was put on the wire: a generator or a contestant that
 * was held up does not hide what that cost. */
#define _GNU_SOURCE
#include "wire.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define BURST 32u
#define NUMBER 0x0fffffffu

struct wire {
	uint8_t *map;
	size_t length;
	uint32_t slots;
};

static struct rig_ring *ring(const struct wire *wire, uint32_t side, uint32_t from)
{
	return (struct rig_ring *)(wire->map + RIG_RING_AT(side, from, wire->slots));
}

struct wire *sluice_wire_open(const char *path, uint32_t slots)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	int fd;

	if (!wire)
		return NULL;
	wire->slots = slots;
	wire->length = RIG_SIDES * 2 * RIG_RING_SIZE(slots);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)wire->length) != 0) {
		if (fd >= 0)
			close(fd);
		free(wire);
		return NULL;
	}
	wire->map = mmap(NULL, wire->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (wire->map == MAP_FAILED) {
		free(wire);
		return NULL;
	}
	return wire;
}

void sluice_wire_close(struct wire *wire)
{
	munmap(wire->map, wire->length);
	free(wire);
}

/* Throws away what is on its way until nothing comes for as many cycles. */
void sluice_wire_drain(struct wire *wire, uint64_t quiet)
{
	uint64_t last = __rdtsc();

	while (__rdtsc() - last < quiet) {
		for (uint32_t side = 0; side < RIG_SIDES; side++) {
			struct rig_ring *out = ring(wire, side, 1);
			uint64_t put = __atomic_load_n(&out->put, __ATOMIC_ACQUIRE);
			if (put != out->taken) {
				__atomic_store_n(&out->taken, put, __ATOMIC_RELEASE);
				last = __rdtsc();
			}
		}
	}
}

uint64_t sluice_time_stamp(void)
{
	return __rdtsc();
}

struct stream {
	struct rig_ring *ring;
	const struct wire_side *side;
	uint64_t next, number, put, taken;
	uint32_t record;
};

static inline uint64_t due(const struct wire_load *load, uint64_t number)
{
	return load->begin + ((number * load->interval) >> 16);
}

/* Puts everything on the wire that is due, a burst at most. Frames that find no room are lost, as on any wire. */
static inline void send(const struct wire *wire, struct wire_load *load, struct stream *s, uint64_t now)
{
	uint64_t put = s->put;

	for (uint32_t n = 0; n < BURST && s->number < s->side->total && s->next <= now; n++) {
		uint32_t word = ((uint32_t)s->number & NUMBER) | load->tag << 28, inverted = ~word;
		const uint8_t *record = s->side->records + (size_t)s->record * s->side->stride;
		uint8_t *slot = s->ring->slots + (put & (wire->slots - 1)) * RIG_SLOT;
		uint32_t stride = s->side->stride;
		uint16_t len;

		if (++s->record == s->side->count)
			s->record = 0;
		s->next = due(load, ++s->number);
		if (put - s->taken == wire->slots) {
			s->taken = __atomic_load_n(&s->ring->taken, __ATOMIC_ACQUIRE);
			if (put - s->taken == wire->slots) {
				load->refused++;
				continue;
			}
		}
		memcpy(&len, record + stride - 2, sizeof(len));
		memcpy(slot, &len, sizeof(len));
		if (stride == 64)
			memcpy(slot + RIG_SLOT_HEAD, record, 64 - RIG_SLOT_HEAD);
		else
			memcpy(slot + RIG_SLOT_HEAD, record, RIG_SLOT - RIG_SLOT_HEAD);
		memcpy(slot + RIG_SLOT_HEAD + s->side->stamp_in, &word, 4);
		memcpy(slot + RIG_SLOT_HEAD + s->side->stamp_in + 4, &inverted, 4);
		put++;
		load->sent++;
	}
	if (put != s->put) {
		s->put = put;
		__atomic_store_n(&s->ring->put, put, __ATOMIC_RELEASE);
	}
}

static inline void receive(const struct wire *wire, struct wire_load *load, uint32_t side)
{
	struct rig_ring *out = ring(wire, side, 1);
	uint64_t taken = out->taken, put = __atomic_load_n(&out->put, __ATOMIC_ACQUIRE);
	uint64_t now;

	if (put == taken)
		return;
	now = __rdtsc();
	if (put - taken > 2 * BURST)
		put = taken + 2 * BURST;
	for (; taken != put; taken++) {
		const uint8_t *slot = out->slots + (taken & (wire->slots - 1)) * RIG_SLOT;
		uint32_t word, inverted;
		uint64_t late;

		memcpy(&word, slot + RIG_SLOT_HEAD + load->sides[side].stamp_out, 4);
		memcpy(&inverted, slot + RIG_SLOT_HEAD + load->sides[side].stamp_out + 4, 4);
		if (word != ~inverted || word >> 28 != load->tag) {
			load->strangers++;
			continue;
		}
		late = now - due(load, word & NUMBER);
		if (load->received < load->room)
			load->latencies[load->received] = late > UINT32_MAX ? UINT32_MAX : (uint32_t)late;
		load->received++;
	}
	__atomic_store_n(&out->taken, taken, __ATOMIC_RELEASE);
}

/* Sends by schedule until everything was sent, and receives until all came back or `patience` cycles passed. */
void sluice_wire_run(struct wire *wire, struct wire_load *load)
{
	struct stream streams[RIG_SIDES];
	uint64_t now = __rdtsc(), last, finished = 0, wanted = 0;

	load->begin = now + 4096;
	for (uint32_t side = 0; side < RIG_SIDES; side++) {
		struct stream *s = &streams[side];
		memset(s, 0, sizeof(*s));
		s->ring = ring(wire, side, 0);
		s->side = &load->sides[side];
		s->next = load->begin;
		s->put = s->ring->put;
		s->taken = __atomic_load_n(&s->ring->taken, __ATOMIC_ACQUIRE);
		wanted += s->side->total;
	}
	last = now;
	for (;;) {
		now = __rdtsc();
		if (!finished) {
			if (now - last > load->longest_gap)
				load->longest_gap = now - last;
			last = now;
			for (uint32_t side = 0; side < RIG_SIDES; side++)
				send(wire, load, &streams[side], now);
			if (load->sent + load->refused == wanted) {
				finished = now;
				load->end = now;
			}
		} else if (load->received >= load->sent || now - finished > load->patience) {
			return;
		}
		for (uint32_t side = 0; side < RIG_SIDES; side++)
			receive(wire, load, side);
	}
}
