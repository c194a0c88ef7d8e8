/* SPDX-License-Identifier: MIT */
/*
 * Which function made a call: the stopped thread's stack is unwound by libdw, and the first frame that
 * isn't the C library's or the dynamic linker's is named. What was mapped since the last look is
 * reported anew.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "tools/trace.h"

#ifdef HAVE_LIBDW

#include <elfutils/libdwfl.h>

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
};

struct finder {
	Dwfl *dwfl;
	char *buffer;
	size_t size;
};

static bool is_plumbing(const char *module)
{
	const char *file = module ? strrchr(module, '/') : NULL;

	file = file ? file + 1 : module;
	return !file || !strncmp(file, "libc.so", 7) || !strncmp(file, "libc-", 5) || !strncmp(file, "ld-", 3) ||
	       !strncmp(file, "libpthread", 10) || !strcmp(file, "[vdso]");
}

static int look_at_frame(Dwfl_Frame *frame, void *arg)
{
	struct finder *f = arg;
	Dwfl_Module *module;
	const char *file, *name;
	Dwarf_Addr pc;
	bool activation;

	if (!dwfl_frame_pc(frame, &pc, &activation))
		return DWARF_CB_ABORT;
	pc -= !activation;
	module = dwfl_addrmodule(f->dwfl, pc);
	file = module ? dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL) : NULL;
	if (is_plumbing(file))
		return DWARF_CB_OK;
	name = dwfl_module_addrname(module, pc);
	snprintf(f->buffer, f->size, "%.80s in %.100s", name ? name : "?", strrchr(file, '/') ? strrchr(file, '/') + 1 : file);
	return DWARF_CB_ABORT;
}

bool trace_stack_possible(void)
{
	return true;
}

void trace_stack(struct trace_model *model, pid_t tid, char *buffer, size_t size)
{
	struct finder f = { .dwfl = model->dwfl, .buffer = buffer, .size = size };

	buffer[0] = '\0';
	if (!f.dwfl) {
		model->dwfl = f.dwfl = dwfl_begin(&callbacks);
		if (!f.dwfl)
			return;
	}
	dwfl_report_begin_add(f.dwfl);
	dwfl_linux_proc_report(f.dwfl, model->pid);
	dwfl_report_end(f.dwfl, NULL, NULL);
	if (dwfl_pid(f.dwfl) < 0)
		dwfl_linux_proc_attach(f.dwfl, model->pid, true);
	dwfl_getthread_frames(f.dwfl, tid, look_at_frame, &f);
}

void trace_stack_forget(struct trace_model *model)
{
	if (model->dwfl)
		dwfl_end(model->dwfl);
	model->dwfl = NULL;
}

#else

bool trace_stack_possible(void)
{
	return false;
}

void trace_stack(struct trace_model *model, pid_t tid, char *buffer, size_t size)
{
	buffer[0] = '\0';
}

void trace_stack_forget(struct trace_model *model)
{
}

#endif
