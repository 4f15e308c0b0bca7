/* Puts the rig into a program that was not built with it: LD_PRELOAD this, with SLUICE_RIG naming the control
 * file. The ports net_null0 and net_null1 become the two sides when the program starts them. */
#define _GNU_SOURCE
#include "rig.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_config.h>
#include <rte_ethdev.h>

int rte_eth_dev_start(uint16_t port)
{
	static int (*start)(uint16_t);
	const char *path = getenv("SLUICE_RIG");
	char name[RTE_ETH_NAME_MAX_LEN];
	int result;

	if (!start)
		start = (int (*)(uint16_t))dlsym(RTLD_NEXT, "rte_eth_dev_start");
	if (!start)
		return -1;
	result = start(port);
	if (result != 0 || !path || rte_eth_dev_get_name_by_port(port, name) != 0)
		return result;
	if (strcmp(name, "net_null0") != 0 && strcmp(name, "net_null1") != 0)
		return result;
	if (sluice_rig_open(path) != 0 || sluice_rig_attach(name, (uint32_t)(name[8] - '0')) != 0)
		fprintf(stderr, "rig: %s could not be attached\n", name);
	else
		fprintf(stderr, "rig: attached to %s\n", name);
	return result;
}
