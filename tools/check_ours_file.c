/* SPDX-License-Identifier: MIT */
/* The library's side: files, and what a file system would say about them. */
#include "check_ours.h"

struct backing {		/* what a file of the temporary directory holds */
	uint8_t *bytes;
	uint64_t size, capacity;
};

static int64_t backing_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	struct backing *b = priv;

	if (offset >= b->size)
		return 0;
	n = n < b->size - offset ? n : b->size - offset;
	memcpy(buffer, b->bytes + offset, n);
	return (int64_t)n;
}

static int backing_resize(struct backing *b, uint64_t size)
{
	if (size > b->capacity) {
		uint8_t *more = realloc(b->bytes, size);

		if (!more)
			return -ENOMEM;
		memset(more + b->capacity, 0, size - b->capacity);
		b->bytes = more;
		b->capacity = size;
	}
	if (size < b->size)
		memset(b->bytes + size, 0, b->size - size);
	b->size = size;
	return 0;
}

static int64_t backing_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	struct backing *b = priv;

	if (offset + n > b->size && backing_resize(b, offset + n))
		return -ENOSPC;
	memcpy(b->bytes + offset, buffer, n);
	return (int64_t)n;
}

static void backing_release(void *priv)
{
	struct backing *b = priv;

	free(b->bytes);
	free(b);
}

static const struct aspace_mapping_ops backing_ops = {
	.size = sizeof(backing_ops), .read = backing_read, .write = backing_write,
	.release = backing_release,
};

static int64_t fill(struct check_ours *o, unsigned f, uint64_t bytes)
{
	uint64_t words[512];

	for (uint64_t at = 0; at < bytes; at += sizeof(words)) {
		uint64_t n = bytes - at < sizeof(words) ? bytes - at : sizeof(words);

		for (unsigned i = 0; i < 512; i++)
			words[i] = check_pattern(f, at + i * 8);
		if (aspace_mapping_write(o->mapping[f], at, words, n) != (int64_t)n)
			return -EIO;
	}
	return 0;
}

void ours_close_file(struct check_ours *o, unsigned f)
{
	if (o->file[f])
		aspace_file_put(o->file[f]);
	if (o->mapping[f])
		aspace_mapping_put(o->mapping[f]);
	o->file[f] = NULL;
	o->mapping[f] = NULL;
}

int64_t ours_file(struct check_ours *o, uint64_t f, uint64_t kind, uint64_t bytes)
{
	struct aspace_mapping_options m = {
		.size = sizeof(m), .dev_minor = 1, .ino = 1000 + f, .sealable = kind == FILE_SEALABLE,
	};
	struct aspace_file_options file = { .size = sizeof(file) };
	bool ram = !o->areas_only;
	int64_t ret;

	if (f >= CHECK_FILES)
		return -EINVAL;
	ours_close_file(o, f);
	o->kind[f] = kind;
	m.bytes = ram ? 0 : bytes;
	if (kind >= FILE_TMP_RW) {
		struct backing *b = calloc(1, sizeof(*b));

		if (!b)
			return -ENOMEM;
		m.ops = &backing_ops;
		m.priv = b;
	}
	ret = aspace_mapping_create(o->machine, &m, &o->mapping[f]);
	if (ret)
		return ret;
	ret = ram ? fill(o, f, bytes) : 0;
	if (!ret && ram && kind >= FILE_TMP_RW)
		ret = aspace_mapping_sync(o->mapping[f], 0, UINT64_MAX);
	file.readable = kind != FILE_TMP_WO;
	file.writable = kind != FILE_TMP_RO;
	file.path = kind <= FILE_SEALABLE ? "/memfd:check (deleted)" : "/tmp/check";
	return ret ? ret : aspace_file_open(o->mapping[f], &file, &o->file[f]);
}

struct aspace_file *ours_file_of(struct check_ours *o, uint64_t f)
{
	return f < CHECK_FILES ? o->file[f] : NULL;
}

int64_t ours_truncate(struct check_ours *o, uint64_t f, uint64_t bytes)
{
	struct aspace_mapping *m = f < CHECK_FILES ? o->mapping[f] : NULL;
	int seals, ret;

	if (!m)
		return -EBADF;
	if (o->kind[f] == FILE_TMP_RO || (int64_t)bytes < 0)
		return -EINVAL;
	seals = aspace_mapping_get_seals(m);
	if (seals >= 0 && ((bytes < aspace_mapping_bytes(m) && (seals & ASPACE_F_SEAL_SHRINK)) ||
			   (bytes > aspace_mapping_bytes(m) && (seals & ASPACE_F_SEAL_GROW))))
		return -EPERM;
	ret = aspace_mapping_truncate(m, bytes);
	if (!ret && o->kind[f] >= FILE_TMP_RW)
		ret = backing_resize(aspace_mapping_priv(m), bytes);
	return ret;
}

int64_t ours_punch(struct check_ours *o, uint64_t f, uint64_t offset, uint64_t n)
{
	struct aspace_mapping *m = f < CHECK_FILES ? o->mapping[f] : NULL;

	if (!m)
		return -EBADF;
	if ((int64_t)offset < 0 || (int64_t)n <= 0)
		return -EINVAL;
	if (o->kind[f] == FILE_TMP_RO)
		return -EBADF;
	if ((int64_t)(offset + n) < 0)
		return -EFBIG;
	return aspace_mapping_punch_hole(m, offset, n);
}

int64_t ours_pread(struct check_ours *o, uint64_t f, uint64_t offset)
{
	uint64_t value = 0;
	int64_t ret;

	if (!ours_file_of(o, f) || o->kind[f] == FILE_TMP_WO)
		return -EBADF;
	if ((int64_t)offset < 0)
		return -EINVAL;
	ret = aspace_mapping_read(o->mapping[f], offset, &value, 8);
	return ret < 0 ? ret : (int64_t)(value & 0xffffffffffffff);
}

int64_t ours_pwrite(struct check_ours *o, uint64_t f, uint64_t offset, uint64_t value)
{
	int seals;

	if (!ours_file_of(o, f) || o->kind[f] == FILE_TMP_RO)
		return -EBADF;
	if ((int64_t)offset < 0)
		return -EINVAL;
	seals = aspace_mapping_get_seals(o->mapping[f]);
	if (seals >= 0 && (seals & (ASPACE_F_SEAL_WRITE | ASPACE_F_SEAL_FUTURE_WRITE)))
		return -EPERM;
	if (seals >= 0 && (seals & ASPACE_F_SEAL_GROW) &&
	    offset + 8 > aspace_mapping_bytes(o->mapping[f]))
		return -EPERM;
	return aspace_mapping_write(o->mapping[f], offset, &value, 8);
}

int64_t ours_seal(struct check_ours *o, uint64_t f, uint64_t seals)
{
	if (!ours_file_of(o, f))
		return -EBADF;
	if (o->kind[f] == FILE_TMP_RO)
		return -EPERM;
	/* a memfd may be executed (its mode is 0777): then what may not change is everything */
	if (seals & ASPACE_F_SEAL_EXEC)
		seals |= ASPACE_F_SEAL_SHRINK | ASPACE_F_SEAL_GROW | ASPACE_F_SEAL_WRITE |
			 ASPACE_F_SEAL_FUTURE_WRITE;
	return aspace_mapping_add_seals(o->mapping[f], (unsigned)seals);
}

int ours_file_number(const struct check_ours *o, const struct aspace_area *a)
{
	if (!a->file)
		return -1;
	for (int i = 0; i < CHECK_FILES; i++)
		if (o->mapping[i] && aspace_file_mapping(a->file) == o->mapping[i])
			return i;
	return -2;
}
