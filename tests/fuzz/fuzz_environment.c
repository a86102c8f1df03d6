/* libFuzzer: an environment, as the preload object reads it: several variables together, in any order, known and unknown. What
 * is accepted must be accepted again from the text that it is shown as, and mean the same. */
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VARIABLES_MOST = 40, TEXT_MOST = 1 << 20 };

static struct settings settings;
static struct settings again;
static char text[SETTINGS][TEXT_MOST];
static char variable[SETTINGS][TEXT_MOST + 64];
static char twice[TEXT_MOST];

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Each ends with a NUL. One that begins with a byte below SETTINGS is that setting's; so the fuzzer need not spell names, but
 * can. */
static char *variable_of(const unsigned char *data, size_t length)
{
	char *made = malloc(length + 64);
	size_t at = 0;

	if (length > 0 && data[0] < SETTINGS) {
		at = (size_t)sprintf(made, "CONNLIMIT_%s=", settings_table[data[0]].name);
		data++, length--;
	}
	memcpy(made + at, data, length);
	made[at + length] = '\0';
	/* Exactly as long as it is, so that a read past its end is seen. */
	char *exact = strdup(made);
	free(made);
	return exact;
}

static void shown_again(void)
{
	char *environment[SETTINGS + 1];
	struct settings_error error;
	int number = 0;

	for (int id = 0; id < SETTINGS; id++) {
		settings_format(text[id], TEXT_MOST, &settings, id);
		if (text[id][0] == '\0')
			continue;
		sprintf(variable[number], "CONNLIMIT_%s=%s", settings_table[id].name, text[id]);
		environment[number] = variable[number];
		number++;
	}
	environment[number] = NULL;
	settings_default(&again);
	if (!settings_from_environment(&again, environment, &error))
		abort();
	for (int id = 0; id < SETTINGS; id++) {
		settings_format(twice, sizeof(twice), &again, id);
		if (strcmp(text[id], twice) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *environment[VARIABLES_MOST + 1];
	struct settings_error error;
	int number = 0;

	for (size_t at = 0; at < size && number < VARIABLES_MOST;) {
		size_t length = strnlen((const char *)data + at, size - at);
		environment[number++] = variable_of(data + at, length);
		at += length + 1;
		/* SETTING_PER_IP's byte is a NUL: two in a row. */
		if (length == 0 && at < size && data[at] == '\0')
			at++;
	}
	environment[number] = NULL;
	settings_default(&settings);
	if (settings_from_environment(&settings, environment, &error)) {
		shown_again();
	} else {
		if (strnlen(error.text, sizeof(error.text)) == sizeof(error.text))
			abort();
		for (const char *at = error.text; *at != '\0'; at++)
			if (*at < ' ' || *at > '~')
				abort();
	}
	for (int i = 0; i < number; i++)
		free(environment[i]);
	return 0;
}
