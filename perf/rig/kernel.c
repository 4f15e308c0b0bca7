/* Sends records through a packet socket as fast as it goes. On a virtual pair of devices everything that the
 * kernel does with a frame happens before the call returns, or in this CPU's softirq thread. */
#define _GNU_SOURCE
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64u

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Frames sent in about as many nanoseconds, and the nanoseconds of CPU time that took; -1 when it cannot be. */
int64_t sluice_kernel_send(const char *device, const uint8_t *records, uint32_t count, uint32_t stride,
			   uint64_t nanoseconds, uint64_t *cpu)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device) };
	struct mmsghdr messages[BATCH];
	struct iovec frames[BATCH];
	uint64_t end, before;
	uint32_t next = 0;
	int64_t sent = 0;
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) != 0) {
		close(fd);
		return -1;
	}
	memset(messages, 0, sizeof(messages));
	before = now(CLOCK_THREAD_CPUTIME_ID);
	end = now(CLOCK_MONOTONIC_RAW) + nanoseconds;
	while (now(CLOCK_MONOTONIC_RAW) < end) {
		int done;
		for (uint32_t i = 0; i < BATCH; i++) {
			const uint8_t *record = records + (uint64_t)((next + i) % count) * stride;
			uint16_t length;
			memcpy(&length, record + stride - 2, sizeof(length));
			frames[i].iov_base = (void *)(uintptr_t)record;
			frames[i].iov_len = length < stride - 2 ? length : stride - 2;
			messages[i].msg_hdr.msg_iov = &frames[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		done = sendmmsg(fd, messages, BATCH, 0);
		if (done > 0) {
			next = (next + (uint32_t)done) % count;
			sent += done;
		}
	}
	*cpu = now(CLOCK_THREAD_CPUTIME_ID) - before;
	close(fd);
	return sent;
}
