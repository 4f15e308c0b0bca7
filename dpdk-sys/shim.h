/* What Sluice uses of DPDK. bindgen reads this file; each static inline function named in build.rs's allow list
 * gets a real symbol in the C file that is compiled beside it. */
#ifndef SLUICE_DPDK_SHIM_H
#define SLUICE_DPDK_SHIM_H

#include <stddef.h>

#include <rte_version.h>
#include <rte_errno.h>
#include <rte_eal.h>
#include <rte_log.h>
#include <rte_lcore.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_mempool.h>
#include <rte_mbuf.h>
#include <rte_ethdev.h>

/* rte_errno is a macro over a thread-local variable, which bindgen cannot express. */
static inline int sluice_rte_errno(void) { return rte_errno; }

/* The link's state, whose structure holds bit fields in some releases and a union in others. */
static inline int sluice_eth_link(uint16_t port, int *up, uint32_t *speed)
{
    struct rte_eth_link link = { 0 };
    int code = rte_eth_link_get_nowait(port, &link);
    *up = link.link_status == RTE_ETH_LINK_UP;
    *speed = link.link_speed;
    return code;
}

/* Where the fields of a buffer are that the fast path reads and writes. The structure nests anonymous unions whose
 * generated names differ between DPDK's releases; offsets computed by the C compiler do not. */
enum {
    SLUICE_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
    SLUICE_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
    SLUICE_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
    SLUICE_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
    SLUICE_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
    SLUICE_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
};

/* Bits of what is hashed, which bindgen does not read out of their macros. */
enum {
    SLUICE_RSS_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP,
    SLUICE_RSS_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP,
};

#endif
