#include "command/way.h"

#include <string.h>

enum way way_named(const char *name)
{
	return strcmp(name, "preload") == 0 ? WAY_PRELOAD : strcmp(name, "supervise") == 0 ? WAY_SUPERVISE : WAY_NONE;
}

enum way way_for(const struct program *program, enum way wanted)
{
	enum ruled_out out = program_ruled_out(program);

	if (out == RULES_OUT_ALL || (out == RULES_OUT_PRELOAD && wanted == WAY_PRELOAD))
		return WAY_NONE;
	if (wanted != WAY_NONE)
		return wanted;
	return out == RULES_OUT_PRELOAD ? WAY_SUPERVISE : WAY_PRELOAD;
}

bool way_stops(enum way wanted, const struct finding *finding)
{
	return finding->out == RULES_OUT_ALL || (finding->out == RULES_OUT_PRELOAD && wanted == WAY_PRELOAD);
}

bool way_concerns(const struct program *program, size_t finding, bool no_ring)
{
	return !no_ring || finding != program->ring;
}
