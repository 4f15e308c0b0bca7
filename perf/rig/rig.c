/* Packets from nowhere: replaces a started port's receive and transmit functions.
 *
 *   records --> mbuf --> [ rx line, `delay` frames ] --> the contestant
 *   the contestant --> [ tx line, `delay` frames ] --> pool
 *                  \-> swapped --> rx line of the same port          (a turned side)
 *
 *   the generator's process --> [ ring ] --> mbuf --> the contestant --> [ ring ] --> the generator    (a wire)
 *
 * The lines stand in for the rings of a NIC: a frame is out of the first-level cache when the contestant gets
 * it, and out of it again when it is freed. Any contestant runs the same code: linked in, or preloaded.
 */
#define _GNU_SOURCE
#include "rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define LINE 8192u /* power of two, more than twice the longest delay */
#define MOST 64u   /* frames a call */
#define READ_EVERY 256u

struct line {
	uint32_t head, tail;
	struct rte_mbuf *at[LINE];
};

struct lane {
	/* what every receive call reads */
	uint32_t epoch, side, queue, stride, turned, lap_at, delay, patience, calls;
	const uint8_t *next, *first, *end;
	uint64_t rearm;
	struct rte_mempool *pool;
	/* where frames sent here come back, and where they are counted */
	struct lane *partner;
	uint16_t lap;
	void *map;
	size_t map_len;
	/* the wire: rings of shared memory, what is known of their other ends */
	struct rig_ring *from_wire, *to_wire;
	uint32_t slots;
	uint64_t seen_put, seen_taken;
	void *wire_map;
	size_t wire_len;
	/* counted by this lane alone */
	uint64_t rx, tx, laps, no_buffer, overflow, spent;
	uint32_t bursts;
	struct line in, out;
} __rte_cache_aligned;

static struct lane lanes[RIG_SIDES][RIG_QUEUES];
static void *queue_data[RIG_SIDES][RIG_QUEUES];
static volatile struct rig_control *control;
static uint8_t *file;

static inline uint32_t waiting(const struct line *line)
{
	return line->tail - line->head;
}

static inline int put(struct line *line, struct rte_mbuf *m)
{
	if (waiting(line) == LINE)
		return 0;
	line->at[line->tail++ & (LINE - 1)] = m;
	return 1;
}

static __rte_noinline void take_reading(struct lane *lane)
{
	uint32_t queue = lane->queue;
	struct rig_reading *r = (struct rig_reading *)(file + RIG_READINGS_AT) + queue;
	struct timespec cpu, wall;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	clock_gettime(CLOCK_MONOTONIC_RAW, &wall);
	__atomic_store_n(&r->seq, r->seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	r->tsc = rte_rdtsc();
	r->cpu_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
	r->wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
	r->laps = r->no_buffer = r->overflow = 0;
	for (uint32_t side = 0; side < RIG_SIDES; side++) {
		const struct lane *of = &lanes[side][queue];
		r->rx[side] = of->rx;
		r->tx[side] = of->tx;
		r->spent[side] = of->spent;
		r->laps += of->laps;
		r->no_buffer += of->no_buffer;
		r->overflow += of->overflow;
	}
	r->epoch = lane->epoch;
	r->tid = (uint32_t)syscall(SYS_gettid);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&r->seq, r->seq + 1, __ATOMIC_RELEASE);
}

static void *map_file(const char *path, int protection, uint64_t least, size_t *length)
{
	int fd = open(path, (protection & PROT_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	void *map = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size >= least) {
		map = mmap(NULL, st.st_size, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
		*length = st.st_size;
	}
	close(fd);
	return map == MAP_FAILED ? NULL : map;
}

static void plug(struct lane *lane, uint32_t slots)
{
	uint8_t *map;

	if (lane->wire_map)
		munmap(lane->wire_map, lane->wire_len);
	lane->from_wire = lane->to_wire = NULL;
	lane->wire_map = NULL;
	/* A ring has one end here: that of the first queue. */
	if (slots == 0 || (slots & (slots - 1)) != 0 || lane->queue != 0)
		return;
	map = map_file((const char *)control->wire, PROT_READ | PROT_WRITE,
		       RIG_SIDES * 2 * RIG_RING_SIZE(slots), &lane->wire_len);
	if (!map)
		return;
	lane->wire_map = map;
	lane->slots = slots;
	lane->from_wire = (struct rig_ring *)(map + RIG_RING_AT(lane->side, 0, slots));
	lane->to_wire = (struct rig_ring *)(map + RIG_RING_AT(lane->side, 1, slots));
	lane->seen_put = lane->from_wire->taken;
	lane->seen_taken = lane->to_wire->taken;
}

/* Takes over what the control structure says now. */
static __rte_noinline void reload(struct lane *lane)
{
	uint32_t epoch = control->epoch;
	struct rig_feed feed;
	uint64_t begin = 0, count;

	memcpy(&feed, (const void *)&control->feed[lane->side], sizeof(feed));
	if (lane->map)
		munmap(lane->map, lane->map_len);
	lane->map = NULL;
	lane->stride = 0;
	lane->turned = feed.turned;
	lane->lap_at = feed.lap_at;
	lane->lap = 0;
	lane->delay = control->delay < LINE / 2 ? control->delay : LINE / 2;
	lane->epoch = epoch;
	/* An answer must not wait for frames that never come. */
	lane->patience = feed.count || feed.turned ? lane->delay : 0;
	plug(lane, feed.wire);
	if (feed.count == 0)
		return;
	lane->map = map_file((const char *)control->records, PROT_READ,
			     feed.offset + (uint64_t)feed.count * feed.stride, &lane->map_len);
	if (!lane->map)
		return;
	count = feed.count;
	if (feed.parts > 1) {
		count = feed.count / feed.parts;
		begin = count * (lane->queue % feed.parts);
	}
	lane->first = (const uint8_t *)lane->map + feed.offset + begin * feed.stride;
	lane->end = lane->first + count * feed.stride;
	lane->next = lane->first;
	/* Workers do not all play the same flows at the same time. */
	if (feed.parts <= 1)
		lane->next += count / RIG_QUEUES * lane->queue * feed.stride;
	lane->stride = feed.stride;
}

static __rte_always_inline void fill(const struct lane *lane, struct rte_mbuf *m, const uint8_t *record,
				     const uint32_t stride)
{
	uint16_t len;

	memcpy(&len, record + stride - 2, sizeof(len));
	memcpy(&m->rearm_data, &lane->rearm, sizeof(lane->rearm));
	m->ol_flags = 0;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = len;
	m->vlan_tci = 0;
	m->hash.rss = 0;
	memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, record, stride);
	/* A long frame ends in zeros: what the contestant itself sent in this buffer was shorter than two lines. */
	if (len > stride)
		memset((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM + stride, 0, 64);
}

static __rte_always_inline void ask(const struct rte_mbuf *m, const uint32_t stride)
{
	const uint8_t *at = (const uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;

	for (uint32_t line = 0; line < stride; line += 64)
		__builtin_prefetch(at + line, 1);
}

static __rte_always_inline void fill_all(struct lane *lane, struct rte_mbuf **fresh, uint32_t n,
					 const uint32_t stride)
{
	for (uint32_t i = 0; i < n; i++) {
		/* as a driver does that fills its ring: the buffer, then where its packet will be */
		if (i + 8 < n)
			__builtin_prefetch(fresh[i + 8], 1);
		if (i + 4 < n)
			ask(fresh[i + 4], stride);
		if (unlikely(lane->next == lane->end)) {
			lane->next = lane->first;
			lane->laps++;
			lane->lap++;
		}
		fill(lane, fresh[i], lane->next, stride);
		lane->next += stride;
		lane->in.at[lane->in.tail++ & (LINE - 1)] = fresh[i];
	}
}

/* Makes every lap's flows new ones. */
static __rte_noinline void renumber(const struct lane *lane, struct rte_mbuf **fresh, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *field = (uint8_t *)fresh[i]->buf_addr + RTE_PKTMBUF_HEADROOM + lane->lap_at;
		uint16_t value = (uint16_t)((field[0] << 8 | field[1]) + lane->lap);
		field[0] = (uint8_t)(value >> 8);
		field[1] = (uint8_t)value;
	}
}

static void produce(struct lane *lane, uint32_t n)
{
	struct rte_mbuf *fresh[MOST];

	if (unlikely(waiting(&lane->in) > LINE - MOST))
		return;
	if (unlikely(rte_mempool_get_bulk(lane->pool, (void **)fresh, n) != 0)) {
		lane->no_buffer++;
		return;
	}
	switch (lane->stride) {
	case 64:
		fill_all(lane, fresh, n, 64);
		break;
	case 128:
		fill_all(lane, fresh, n, 128);
		break;
	default:
		fill_all(lane, fresh, n, 192);
	}
	if (unlikely(lane->lap_at != 0))
		renumber(lane, fresh, n);
}

/* Takes frames off the wire. */
static __rte_noinline uint16_t receive_wire(struct lane *lane, struct rte_mbuf **pkts, uint32_t n)
{
	struct rig_ring *ring = lane->from_wire;
	uint64_t taken = ring->taken;

	if (lane->seen_put == taken)
		lane->seen_put = __atomic_load_n(&ring->put, __ATOMIC_ACQUIRE);
	if (n > lane->seen_put - taken)
		n = (uint32_t)(lane->seen_put - taken);
	if (n == 0)
		return 0;
	if (unlikely(rte_mempool_get_bulk(lane->pool, (void **)pkts, n) != 0)) {
		lane->no_buffer++;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *slot = ring->slots + ((taken + i) & (lane->slots - 1)) * RIG_SLOT;
		struct rte_mbuf *m = pkts[i];
		uint16_t len;
		memcpy(&len, slot, sizeof(len));
		memcpy(&m->rearm_data, &lane->rearm, sizeof(lane->rearm));
		m->ol_flags = 0;
		m->packet_type = 0;
		m->pkt_len = len;
		m->data_len = len;
		m->vlan_tci = 0;
		m->hash.rss = 0;
		if (len <= 64 - RIG_SLOT_HEAD)
			memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, slot + RIG_SLOT_HEAD,
			       64 - RIG_SLOT_HEAD);
		else
			memcpy((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, slot + RIG_SLOT_HEAD,
			       RIG_SLOT - RIG_SLOT_HEAD);
	}
	__atomic_store_n(&ring->taken, taken + n, __ATOMIC_RELEASE);
	lane->rx += n;
	return (uint16_t)n;
}

/* Whose packets this thread works on, and since when. */
static __thread struct lane *busy_with;
static __thread uint64_t busy_since;

static __rte_noinline void clock_out(void)
{
	if (busy_with)
		busy_with->spent += rte_rdtsc() - busy_since;
	busy_with = NULL;
}

static __rte_noinline void clock_in(struct lane *lane)
{
	busy_with = lane;
	busy_since = rte_rdtsc();
}

static uint16_t receive(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct lane *lane = queue;
	uint32_t ready;

	if (unlikely(busy_with))
		clock_out();

	if (unlikely(lane->epoch != control->epoch))
		reload(lane);
	if (lane->side == 0 && unlikely((lane->calls++ & (READ_EVERY - 1)) == 0))
		take_reading(lane);
	if (n > MOST)
		n = MOST;
	if (lane->from_wire && lane->in.head == lane->in.tail)
		return receive_wire(lane, pkts, n);
	if (lane->stride)
		produce(lane, n);
	ready = waiting(&lane->in);
	ready = ready > lane->patience ? ready - lane->patience : 0;
	if (n > ready)
		n = (uint16_t)ready;
	for (uint32_t i = 0; i < n; i++)
		pkts[i] = lane->in.at[lane->in.head++ & (LINE - 1)];
	lane->rx += n;
	if (unlikely(control->timed))
		clock_in(lane);
	return n;
}

static __rte_noinline void sample(struct lane *lane, const struct rte_mbuf *m)
{
	static uint64_t number;
	uint64_t this = __atomic_fetch_add(&number, 1, __ATOMIC_RELAXED);
	struct rig_sample *s = (struct rig_sample *)(file + RIG_SAMPLES_AT) + this % RIG_SAMPLES;
	uint32_t len = m->data_len < RIG_SAMPLE_ROOM ? m->data_len : RIG_SAMPLE_ROOM;

	__atomic_store_n(&s->seq, 2 * this + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	s->len = m->data_len;
	s->side = (uint16_t)lane->side;
	s->queue = (uint16_t)lane->queue;
	s->epoch = lane->partner->epoch;
	memcpy(s->data, rte_pktmbuf_mtod(m, const uint8_t *), len);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&s->seq, 2 * this + 2, __ATOMIC_RELEASE);
}

/* An ARP request becomes its reply. */
static __rte_noinline int answer(struct rte_mbuf *m)
{
	uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *);
	uint8_t ip[4], mac[6] = { 0x02, 0xaa };

	if (m->data_len < 42 || f[12] != 0x08 || f[13] != 0x06 || f[20] != 0 || f[21] != 1)
		return 0;
	memcpy(ip, f + 38, 4);
	memcpy(mac + 2, ip, 4);
	memcpy(f, f + 6, 6);
	memcpy(f + 6, mac, 6);
	f[21] = 2;
	memcpy(f + 32, f + 22, 10); /* the asker becomes the target */
	memcpy(f + 22, mac, 6);
	memcpy(f + 28, ip, 4);
	return 1;
}

/* A UDP or TCP packet over IPv4 without options becomes its answer. Swapping leaves all checksums right. */
static __rte_always_inline int turn(struct rte_mbuf *m)
{
	uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *);
	uint64_t low, high;
	uint32_t src, dst, ports;

	if (unlikely(m->data_len < 42 || f[12] != 0x08 || f[13] != 0x00 || f[14] != 0x45))
		return 0;
	memcpy(&low, f, 8);
	memcpy(&high, f + 6, 8);
	memcpy(f + 6, &low, 6);
	memcpy(f, &high, 6);
	memcpy(&src, f + 26, 4);
	memcpy(&dst, f + 30, 4);
	memcpy(&ports, f + 34, 4);
	ports = ports << 16 | ports >> 16;
	memcpy(f + 26, &dst, 4);
	memcpy(f + 30, &src, 4);
	memcpy(f + 34, &ports, 4);
	return 1;
}

static inline void release(struct lane *lane, struct rte_mbuf **old, uint32_t n)
{
	struct rte_mbuf *plain[MOST];
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = old[i];
		if (i + 8 < n)
			rte_prefetch0(old[i + 8]);
		if (likely(m->pool == lane->pool && m->refcnt == 1 && m->nb_segs == 1))
			plain[k++] = m;
		else
			rte_pktmbuf_free(m);
	}
	if (k)
		rte_mempool_put_bulk(lane->pool, (void **)plain, k);
}

static inline void hold(struct lane *lane, struct rte_mbuf **pkts, uint32_t n)
{
	struct line *out = &lane->out;
	uint32_t free;

	for (uint32_t i = 0; i < n; i++)
		out->at[out->tail++ & (LINE - 1)] = pkts[i];
	/* A queue that only sends has read no settings of its own. */
	free = waiting(out) > lane->partner->delay ? waiting(out) - lane->partner->delay : 0;
	while (free) {
		struct rte_mbuf *old[MOST];
		uint32_t k = free < MOST ? free : MOST;
		for (uint32_t i = 0; i < k; i++)
			old[i] = out->at[out->head++ & (LINE - 1)];
		release(lane, old, k);
		free -= k;
	}
}

static inline void turn_all(const struct lane *lane, struct rte_mbuf **pkts, uint32_t n)
{
	for (uint32_t i = 0; i < n && i < 4; i++)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i], void *));
	for (uint32_t i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i + 4], void *));
		if (unlikely(!turn(pkts[i]))) {
			rte_pktmbuf_free(pkts[i]);
		} else if (unlikely(!put(&lane->partner->in, pkts[i]))) {
			rte_pktmbuf_free(pkts[i]);
			lane->partner->overflow++;
		}
	}
}

/* The slow way out, while addresses are being resolved. */
static __rte_noinline void send_and_answer(struct lane *lane, struct rte_mbuf **pkts, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (answer(pkts[i])) {
			if (!put(&lane->partner->in, pkts[i]))
				rte_pktmbuf_free(pkts[i]);
		} else if (lane->partner->turned) {
			turn_all(lane, &pkts[i], 1);
		} else {
			hold(lane, &pkts[i], 1);
		}
	}
}

/* Puts frames on the wire, as many as it has room for. */
static __rte_noinline uint16_t transmit_wire(struct lane *lane, struct rte_mbuf **pkts, uint32_t n)
{
	struct lane *end = lane->partner;
	struct rig_ring *ring = end->to_wire;
	uint64_t put = ring->put;

	if (put + n > end->seen_taken + end->slots)
		end->seen_taken = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE);
	if (n > end->seen_taken + end->slots - put)
		n = (uint32_t)(end->seen_taken + end->slots - put);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *slot = ring->slots + ((put + i) & (end->slots - 1)) * RIG_SLOT;
		uint32_t len = pkts[i]->data_len;
		memcpy(slot, &len, RIG_SLOT_HEAD);
		if (len <= 64 - RIG_SLOT_HEAD)
			memcpy(slot + RIG_SLOT_HEAD, rte_pktmbuf_mtod(pkts[i], const uint8_t *),
			       64 - RIG_SLOT_HEAD);
		else
			memcpy(slot + RIG_SLOT_HEAD, rte_pktmbuf_mtod(pkts[i], const uint8_t *),
			       RIG_SLOT - RIG_SLOT_HEAD);
	}
	__atomic_store_n(&ring->put, put + n, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < n; i += MOST)
		release(lane, pkts + i, n - i < MOST ? n - i : MOST);
	lane->partner->tx += n;
	return (uint16_t)n;
}

static uint16_t transmit(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct lane *lane = queue;

	if (unlikely(n == 0))
		return 0;
	/* Any place in a burst: the high bits of the product do not follow the low ones of the count. */
	if (unlikely((++lane->bursts & control->sample_mask) == 0))
		sample(lane, pkts[(lane->bursts * 2654435761u >> 16) % n]);
	if (lane->partner->to_wire)
		return transmit_wire(lane, pkts, n);
	lane->partner->tx += n;
	if (unlikely(control->answer_arp))
		send_and_answer(lane, pkts, n);
	else if (lane->partner->turned)
		turn_all(lane, pkts, n);
	else
		hold(lane, pkts, n);
	return n;
}

int sluice_rig_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	file = mmap(NULL, RIG_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return -1;
	control = (volatile struct rig_control *)file;
	return control->magic == RIG_MAGIC ? 0 : -1;
}

/* Frames longer than their record end in zeros, which their checksums count on. */
static void clear(struct rte_mempool *pool, void *opaque, void *object, unsigned int index)
{
	struct rte_mbuf *m = object;

	RTE_SET_USED(pool);
	RTE_SET_USED(opaque);
	RTE_SET_USED(index);
	memset(m->buf_addr, 0, m->buf_len);
}

static struct rte_mempool *pool_of(uint16_t port)
{
	struct rte_mbuf *m = NULL;
	struct rte_mempool *pool;

	if (rte_eth_rx_burst(port, 0, &m, 1) != 1)
		return NULL;
	pool = m->pool;
	rte_pktmbuf_free(m);
	return pool;
}

int sluice_rig_attach(const char *device, uint32_t side)
{
	struct rte_eth_fp_ops *ops;
	struct rte_eth_dev_info info;
	struct rte_mempool *pool;
	uint16_t port;

	if (!control || side >= RIG_SIDES || rte_eth_dev_get_port_by_name(device, &port) != 0)
		return -1;
	pool = pool_of(port);
	if (!pool || rte_eth_dev_info_get(port, &info) != 0 || info.nb_rx_queues == 0)
		return -1;
	rte_mempool_obj_iter(pool, clear, NULL);
	for (uint32_t queue = 0; queue < RIG_QUEUES; queue++) {
		struct lane *lane = &lanes[side][queue];
		struct rte_mbuf like = { .data_off = RTE_PKTMBUF_HEADROOM, .nb_segs = 1, .port = port };
		/* After a restart of the port the lines would hold buffers of a pool that may be gone. */
		memset(lane, 0, sizeof(*lane));
		like.refcnt = 1;
		memcpy(&lane->rearm, &like.rearm_data, sizeof(lane->rearm));
		lane->side = side;
		lane->queue = queue;
		lane->pool = pool;
		lane->partner = &lanes[side][queue % info.nb_rx_queues];
		lane->epoch = control->epoch - 1;
		queue_data[side][queue] = lane;
	}
	ops = &rte_eth_fp_ops[port];
	ops->rxq.data = queue_data[side];
	ops->txq.data = queue_data[side];
	ops->rx_pkt_burst = receive;
	ops->tx_pkt_burst = transmit;
	return 0;
}
