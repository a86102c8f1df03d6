/* libFuzzer: an environment file, and every value by itself. What is accepted must be written back as text that is accepted
 * again and means the same. */
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>

static struct settings settings;
static struct settings again;
static struct settings work;
static char copy[SETTINGS_FILE_ROOM];

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void value(enum setting_id id, const char *text, size_t length)
{
	static char formatted[1 << 20];
	static char twice[1 << 20];
	struct settings_error error;

	settings_default(&settings);
	if (!settings_set(&settings, id, text, length, FROM_FILE, &error)) {
		if (strnlen(error.text, sizeof(error.text)) == sizeof(error.text))
			abort();
		return;
	}
	settings_format(formatted, sizeof(formatted), &settings, id);
	if (formatted[0] == '\0')
		return;
	settings_default(&again);
	if (!settings_set(&again, id, formatted, strlen(formatted), FROM_FILE, &error))
		abort();
	settings_format(twice, sizeof(twice), &again, id);
	if (strcmp(formatted, twice) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct settings_error error;

	if (size == 0 || size > SETTINGS_FILE_MOST)
		return 0;
	if (data[0] < SETTINGS) {
		/* Exactly as long as it is, so that a read past its end is seen. */
		char *text = malloc(size);
		memcpy(text, data + 1, size - 1);
		value((enum setting_id)data[0], text, size - 1);
		free(text);
		return 0;
	}
	memcpy(copy, data, size);
	settings_default(&settings);
	if (!settings_from_text(&settings, &work, "fuzz", copy, size, &error)) {
		static struct settings standard;
		settings_default(&standard);
		/* Nothing of a bad file is taken. */
		if (memcmp(&settings, &standard, offsetof(struct settings, balancer)) != 0)
			abort();
	}
	return 0;
}
