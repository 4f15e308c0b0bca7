/* What Sluice uses of DPDK. bindgen reads this file; each static inline function named in build.rs's allow list
 * gets a real symbol in the C file that is compiled beside it. */
#ifndef SLUICE_DPDK_SHIM_H
#define SLUICE_DPDK_SHIM_H

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

#endif
