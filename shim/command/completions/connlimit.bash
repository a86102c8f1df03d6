# bash completion for connlimit(1).                                        -*- shell-script -*-
# Options, settings and tables are asked of the command itself, so that they are those of the version that is there.

_connlimit_commands="run check status top events clients disconnect ban unban reload set suggest metrics sync help"

_connlimit_options() { # COMMAND: its long options, with '=' where a value follows
	"$1" "$2" --help 2>/dev/null | grep -oE -- '(^|[ [])--[a-z0-9-]+=?' | tr -d ' [' | sort -u
}

_connlimit_tables() { "$1" status --names 2>/dev/null; }

# Addresses of the clients that hold connections or were refused: lines with tabs, of which the first field is the client.
_connlimit_clients() { "$1" status 2>/dev/null | awk -F '\t' 'NF > 1 && $1 != "CLIENT" && $1 !~ / / { print $1 }' | sort -u; }

_connlimit_words() { # WORDS: completes the current word from them
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
	[[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}

# The values that some settings take.
_connlimit_value() { # NAME
	case $1 in
	mode) _connlimit_words "enforce observe off" ;;
	way) _connlimit_words "preload supervise" ;;
	refuse) _connlimit_words "reset close http text:" ;;
	log) _connlimit_words "stderr json syslog journal off" ;;
	join) _connlimit_words "yes no" ;;
	signal) _connlimit_words "HUP USR1 USR2 WINCH" ;;
	table) _connlimit_words "$(_connlimit_tables "$program")" ;;
	file | output | ca | cert | key | redis-file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && compopt -o filenames ;;
	*) COMPREPLY=() ;;
	esac
}

_connlimit_run() {
	local i=2
	# Behind the options comes a command with its own arguments. "--per-ip=10" is three words, "--per-ip 10" two.
	while ((i < COMP_CWORD)) && [[ ${COMP_WORDS[i]} == --?* ]]; do
		if [[ ${COMP_WORDS[i]} == --*io-uring ]]; then ((i += 1)); elif [[ ${COMP_WORDS[i + 1]-} == "=" ]]; then ((i += 3)); else ((i += 2)); fi
	done
	[[ ${COMP_WORDS[i]-} != -- ]] || ((i++))
	if ((i < COMP_CWORD)) || { ((i == COMP_CWORD)) && [[ $cur != -* ]]; }; then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$i"
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		fi
		return
	fi
	_connlimit_words "$(_connlimit_options "$program" run)"
}

_connlimit() {
	local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} command=${COMP_WORDS[1]-}

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_connlimit_words "$_connlimit_commands --help --version"
		return
	fi
	# "--mode=obs" is three words, as '=' divides them.
	[[ $cur == "=" ]] && cur=
	if [[ $previous == "=" ]]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]}
		_connlimit_value "${previous#--}"
		return
	elif [[ ${COMP_WORDS[COMP_CWORD]} == "=" ]]; then
		_connlimit_value "${previous#--}"
		return
	fi
	case $previous in
	--mode | --refuse | --log | --signal | --table | --file | --output | --ca | --cert | --key | --redis-file)
		_connlimit_value "${previous#--}"
		return
		;;
	esac
	case $command in
	run) _connlimit_run ;;
	check)
		if [[ $previous == --rules ]]; then
			_connlimit_value "file"
		elif [[ $cur == -* ]]; then
			_connlimit_words "$(_connlimit_options "$program" "$command")"
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		fi
		;;
	help) _connlimit_words "$_connlimit_commands" ;;
	set)
		if [[ $cur == -* ]]; then
			_connlimit_words "--all --help"
		elif ((COMP_CWORD == 2)); then
			_connlimit_words "$(_connlimit_tables "$program") $(_connlimit_options "$program" run | sed -n 's/^--\(.*=\)$/\1/p')"
		else
			_connlimit_words "$(_connlimit_options "$program" run | sed -n 's/^--\(.*=\)$/\1/p')"
		fi
		;;
	clients | disconnect | ban | unban)
		if [[ $cur == -* ]]; then
			_connlimit_words "$(_connlimit_options "$program" "$command")"
		elif [[ $previous == --idle || $previous == --older-than || $previous == for ]]; then
			_connlimit_words "30s 10m 1h"
		elif [[ ${COMP_WORDS[COMP_CWORD - 2]} == --idle || ${COMP_WORDS[COMP_CWORD - 2]} == --older-than ]]; then
			_connlimit_words "$(_connlimit_clients "$program") $(_connlimit_tables "$program")"
		elif [[ $previous == "$command" || $previous == --json || $previous == --compact || $previous == --all || $previous == --dry-run ]]; then
			_connlimit_words "$(_connlimit_clients "$program")"
			# The colons of an IPv6 address divide words too.
			! declare -F __ltrim_colon_completions >/dev/null || __ltrim_colon_completions "$cur"
		elif [[ $command == ban && ${COMP_WORDS[COMP_CWORD - 2]} != for ]]; then
			_connlimit_words "for $(_connlimit_tables "$program")"
		else
			_connlimit_words "$(_connlimit_tables "$program")"
		fi
		;;
	*)
		if [[ $cur == -* ]]; then
			_connlimit_words "$(_connlimit_options "$program" "$command")"
		else
			case $command in
			status | top | events | reload | suggest) _connlimit_words "$(_connlimit_tables "$program")" ;;
			esac
		fi
		;;
	esac
}

complete -F _connlimit connlimit
