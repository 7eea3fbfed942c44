/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liar: a virtio balloon without a driver that says it does as it is told, in the guest.
 *
 * The device's config is two little-endian words: how many pages the host wants, and how many
 * the driver has given.  Liar copies the first into the second, and gives none; and it does not
 * take back what it says it gave.  It needs the device to itself: neither virtio_pci nor
 * virtio_balloon may be loaded.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VIRTIO_VENDOR	  0x1af4
#define BALLOON_MODERN	  0x1045
#define BALLOON_TRANSIENT 0x1002
#define CAP_POINTER	  0x34
#define CAP_VENDOR	  0x09
#define CAP_DEVICE_CFG	  4

static uint8_t config[256];

static uint32_t get(unsigned int at, unsigned int bytes)
{
	uint32_t v = 0;

	for (unsigned int i = bytes; i-- > 0;)
		v = v << 8 | config[at + i];
	return v;
}

/* => is it the balloon?  Its directory is dir, its PCI config is in config then. */
static int is_balloon(const char *dir)
{
	char path[512];
	int fd, n;

	snprintf(path, sizeof(path), "%s/config", dir);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	n = (int)read(fd, config, sizeof(config));
	close(fd);
	return n == (int)sizeof(config) && get(0, 2) == VIRTIO_VENDOR &&
	       (get(2, 2) == BALLOON_MODERN || get(2, 2) == BALLOON_TRANSIENT);
}

static void enable(const char *dir)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/enable", dir);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "1", 1) != 1)
		err(1, "LIAR FAILED %s", path);
	close(fd);
}

static volatile uint32_t *map_device_config(const char *dir)
{
	unsigned int cap = get(CAP_POINTER, 1);
	char path[512];
	uint32_t offset;
	uint8_t *bar;
	int fd;

	while (cap && (get(cap, 1) != CAP_VENDOR || get(cap + 3, 1) != CAP_DEVICE_CFG))
		cap = get(cap + 1, 1);
	if (!cap)
		errx(1, "LIAR FAILED the device has no modern config");
	offset = get(cap + 8, 4);
	snprintf(path, sizeof(path), "%s/resource%u", dir, get(cap + 4, 1));
	fd = open(path, O_RDWR | O_SYNC);
	if (fd < 0)
		err(1, "LIAR FAILED %s", path);
	bar = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   (off_t)(offset & ~4095u));
	if (bar == MAP_FAILED)
		err(1, "LIAR FAILED mmap %s", path);
	return (volatile uint32_t *)(void *)(bar + (offset & 4095u));
}

int main(void)
{
	DIR *devices = opendir("/sys/bus/pci/devices");
	volatile uint32_t *words = NULL; /* num_pages, actual */
	struct dirent *d;

	while (devices && !words && (d = readdir(devices))) {
		char dir[300];

		snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", d->d_name);
		if (!is_balloon(dir))
			continue;
		enable(dir);
		words = map_device_config(dir);
	}
	if (!words)
		errx(1, "LIAR FAILED no balloon");
	printf("LIAR UP\n");
	fflush(stdout);
	for (;;) {
		uint32_t wanted = words[0];

		if (wanted > words[1]) {
			words[1] = wanted;
			printf("LIAR gave=%u\n", (unsigned int)wanted);
			fflush(stdout);
		}
		usleep(100000);
	}
}
