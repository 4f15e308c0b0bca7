/* What the packet-socket driver gets instead of setsockopt(); see the crate's README.
 *
 * The driver joins its sockets to a fanout group. Two things about that group are wrong for a router:
 * - It asks the kernel to reassemble IPv4 fragments. The result no longer fits the ring's frames and arrives cut.
 * - The group's number is process id XOR interface index, which is the same for different interfaces of two
 *   processes with neighboring ids; the second one then cannot open its device. The interface index alone is unique
 *   in a network namespace.
 * The kernel cannot change either once the driver has joined.
 */
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

int sluice_af_packet_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    if (level == SOL_PACKET && name == PACKET_FANOUT && length == sizeof(int)) {
        unsigned int fanout = *(const unsigned int *)value;
        fanout ^= (unsigned int)getpid() & 0xffff;
        fanout &= ~((unsigned int)PACKET_FANOUT_FLAG_DEFRAG << 16);
        return setsockopt(fd, level, name, &fanout, sizeof(fanout));
    }
    return setsockopt(fd, level, name, value, length);
}
