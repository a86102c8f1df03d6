#!/usr/bin/env bats
# What the shells complete: loaded, and asked.

load built

setup() {
	here=$(mktemp -d)
	PATH=$here:$PATH
	# The command as an operator has it, and a table with a client to be completed, whatever daemons run here.
	cat >"$here/connlimit" <<-SCRIPT
		#!/bin/sh
		case "\$1 \$2" in
		"status --names") printf 'nginx\nsshd\n' ;;
		"status ") printf 'table nginx\n  limit    2\nCLIENT\tOPEN\n192.0.2.1\t2\n2001:db8::/64\t1\nuid 1000\t1\n' ;;
		*) exec "$CONNLIMIT" "\$@" ;;
		esac
	SCRIPT
	chmod 755 "$here/connlimit"
}

teardown() { rm -rf "$here"; }

# What bash offers for a line whose last word is being typed, in one line.
offered() {
	bash --norc -c '
		[[ ! -r /usr/share/bash-completion/bash_completion ]] || . /usr/share/bash-completion/bash_completion
		. "$1"
		compopt() { :; } # works only while bash completes
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		COMP_LINE="$*"
		COMP_POINT=${#COMP_LINE}
		_connlimit
		printf "%s\n" "${COMPREPLY[@]}" | sort | tr "\n" " "
	' bash "$SOURCE/shim/command/completions/connlimit.bash" connlimit "$@"
}

@test "bash completes commands, options, settings, tables and clients" {
	[ "$(offered s)" = "set status suggest sync " ]
	[ "$(offered status --j)" = "--json " ]
	[ "$(offered status "")" = "nginx sshd " ]
	[ "$(offered reload n)" = "nginx " ]
	[ "$(offered clients 19)" = "192.0.2.1 " ]
	[ "$(offered disconnect 192.0.2.1 s)" = "sshd " ]
	[ "$(offered events --o)" = "--once " ]
	[ "$(offered events n)" = "nginx " ]
	[ "$(offered ban 19)" = "192.0.2.1 " ]
	[ "$(offered ban 192.0.2.1 "")" = "for nginx sshd " ]
	[ "$(offered ban 192.0.2.1 for 1)" = "10m 1h " ]
	[ "$(offered ban 192.0.2.1 for 1h s)" = "sshd " ]
	[ "$(offered unban 192.0.2.1 s)" = "sshd " ]
	[ "$(offered disconnect --older)" = "--older-than " ]
	[ "$(offered disconnect --older-than 1)" = "10m 1h " ]
	[ "$(offered disconnect --idle 1h s)" = "sshd " ]
	[ "$(offered set per-i)" = "per-ip= " ]
	[ "$(offered set nginx mo)" = "mode= " ]
	[ "$(offered run --per-i)" = "--per-ip= " ]
	[ "$(offered run --mode obs)" = "observe " ]
	[ "$(offered run --mode = e)" = "enforce " ]
	[[ " $(offered run --per-ip = 3 -- tru)" == *" true "* ]]
	[[ " $(offered run --per-ip 3 tru)" == *" true "* ]]
	[[ " $(offered check tru)" == *" true "* ]]
	[ "$(offered metrics --l)" = "--listen " ]
	[ "$(offered help cli)" = "clients " ]
}

@test "every command and option is completed, in every shell" {
	"$CONNLIMIT" | sed -n 's/^  \([a-z]*\) .*/\1/p' | grep -v connlimit | while read -r command; do
		for file in connlimit.bash connlimit.fish _connlimit; do
			grep -qw "$command" "$SOURCE/shim/command/completions/$file" || { echo "$command is not in $file"; exit 1; }
		done
		[ "$command" != run ] || continue # its options are asked of it
		"$CONNLIMIT" "$command" --help | grep -oE '^  --[a-z-]+' | tr -d ' -' | while read -r option; do
			for file in connlimit.fish _connlimit; do
				tr -d - <"$SOURCE/shim/command/completions/$file" | grep -qw -- "$option" || { echo "$command: $option is not in $file"; exit 1; }
			done
			[[ " $(offered "$command" --)" == *" --"* ]]
		done
	done
}

@test "zsh completes" {
	command -v zsh >/dev/null || skip "no zsh"
	zsh -n "$SOURCE/shim/command/completions/_connlimit"
	mkdir "$here/functions"
	cp "$SOURCE/shim/command/completions/_connlimit" "$here/functions"
	# A shell on a terminal of its own, in which Tab is pressed.
	run timeout 60 zsh -fc '
		zmodload zsh/zpty
		zpty shell zsh -fi
		zpty -w shell "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -d $1/dump; unsetopt list_beep; echo re\"\"ady"
		zpty -r shell line "*ready*"
		for typed in "connlimit stat" "connlimit reload ng" "connlimit set nginx per-i" "connlimit clients 192"; do
			zpty -n -w shell "$typed"$'"'\t'"'
			sleep 0.5
			zpty -w shell "  # don""e"
			zpty -r shell line "*# done*"
			print -r -- "$line"
		done
		zpty -d shell
	' zsh "$here/functions"
	echo "$output"
	[[ $output == *"connlimit status"* ]]
	[[ $output == *"connlimit reload nginx"* ]]
	[[ $output == *"per-ip="* ]]
	[[ $output == *"connlimit clients 192.0.2.1"* ]]
}

@test "fish completes" {
	command -v fish >/dev/null || skip "no fish"
	fish -n "$SOURCE/shim/command/completions/connlimit.fish"
	asked() { HOME=$here fish --no-config -c "source $SOURCE/shim/command/completions/connlimit.fish; complete -C '$1'" | cut -f1 | sort | tr '\n' ' '; }
	[ "$(asked 'connlimit sta')" = "status " ]
	[ "$(asked 'connlimit reload ')" = "nginx sshd " ]
	[ "$(asked 'connlimit clients 19')" = "192.0.2.1 " ]
	[ "$(asked 'connlimit set per-i')" = "per-ip= " ]
	# With =, or without; since fish 4 also what has these letters further in.
	[[ " $(asked 'connlimit run --per-i')" == *" --per-ip"[=\ ]* ]]
	[ "$(asked 'connlimit status --js')" = "--json " ]
	# The values of settings.
	[ "$(asked 'connlimit run --mode o')" = "observe off " ] || [ "$(asked 'connlimit run --mode o')" = "off observe " ]
	[ "$(asked 'connlimit set nginx mode=en')" = "mode=enforce " ]
	[ "$(asked 'connlimit run --table ')" = "nginx sshd " ]
}
