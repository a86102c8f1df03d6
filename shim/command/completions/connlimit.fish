# fish completion for connlimit(1). Options, settings and tables are asked of the command itself, so that they are those of the
# version that is there.

set -l commands run check status top events clients disconnect ban unban reload set suggest metrics sync help

function __connlimit_tables
    connlimit status --names 2>/dev/null
end

# Lines with tabs, of which the first field is the client.
function __connlimit_clients
    connlimit status 2>/dev/null | awk -F '\t' 'NF > 1 && $1 != "CLIENT" && $1 !~ / / { print $1 }' | sort -u
end

function __connlimit_settings
    connlimit run --help 2>/dev/null | sed -n 's/^  --\([a-z0-9-]*\)=.*/\1=/p'
end

# The values that some settings take.
function __connlimit_values
    switch $argv[1]
        case mode
            printf '%s\n' enforce observe off
        case refuse
            printf '%s\n' reset close http text:
        case log
            printf '%s\n' stderr json syslog journal off
        case join
            printf '%s\n' yes no
        case signal
            printf '%s\n' HUP USR1 USR2 WINCH
        case table
            __connlimit_tables
        case file
            __fish_complete_path (commandline -ct | string replace -r '^--file=' '')
    end
end

# The same behind the setting's name, as `connlimit set` wants them.
function __connlimit_assignments
    for name in mode refuse log
        printf "$name=%s\n" (__connlimit_values $name)
    end
end

complete -c connlimit -f
complete -c connlimit -n __fish_use_subcommand -l help -d 'the commands'
complete -c connlimit -n __fish_use_subcommand -l version -d 'the version'
complete -c connlimit -n __fish_use_subcommand -a run -d 'start a daemon under limits'
complete -c connlimit -n __fish_use_subcommand -a check -d 'whether it can be limited'
complete -c connlimit -n __fish_use_subcommand -a status -d 'limits, counts and refusals'
complete -c connlimit -n __fish_use_subcommand -a top -d 'the same, live'
complete -c connlimit -n __fish_use_subcommand -a events -d 'follow refusals, bans, reloads'
complete -c connlimit -n __fish_use_subcommand -a clients -d "a client's connections"
complete -c connlimit -n __fish_use_subcommand -a disconnect -d "end a client's connections"
complete -c connlimit -n __fish_use_subcommand -a ban -d 'refuse a client for a time'
complete -c connlimit -n __fish_use_subcommand -a unban -d "end a client's ban"
complete -c connlimit -n __fish_use_subcommand -a reload -d 'read the file of limits again'
complete -c connlimit -n __fish_use_subcommand -a set -d 'change limits until the next reload'
complete -c connlimit -n __fish_use_subcommand -a suggest -d 'which limit to choose'
complete -c connlimit -n __fish_use_subcommand -a metrics -d 'metrics for Prometheus'
complete -c connlimit -n __fish_use_subcommand -a sync -d 'one limit over many machines'
complete -c connlimit -n __fish_use_subcommand -a help -d 'help on a command'

complete -c connlimit -n "__fish_seen_subcommand_from help" -a "$commands"
complete -c connlimit -n "__fish_seen_subcommand_from status top events reload suggest set" -a '(__connlimit_tables)' -d table
complete -c connlimit -n "__fish_seen_subcommand_from set" -a '(__connlimit_settings)' -d setting
complete -c connlimit -n "__fish_seen_subcommand_from set" -a '(__connlimit_assignments)' -d setting
complete -c connlimit -n "__fish_seen_subcommand_from reload set disconnect ban unban" -l all -d 'of all daemons'
complete -c connlimit -n "__fish_seen_subcommand_from clients disconnect ban unban" -a '(__connlimit_clients)' -d client
complete -c connlimit -n "__fish_seen_subcommand_from ban" -a for -d 'and a time'
complete -c connlimit -n "__fish_seen_subcommand_from ban; and string match -q for -- (commandline -opc)[-1]" -a '30s 10m 1h' -d time
complete -c connlimit -n "__fish_seen_subcommand_from unban" -a '(__connlimit_tables)' -d table
complete -c connlimit -n "__fish_seen_subcommand_from ban" -a '(__connlimit_tables)' -d table
complete -c connlimit -n "__fish_seen_subcommand_from check" -l rules -r -F -d 'what a file of limits says'
complete -c connlimit -n "__fish_seen_subcommand_from disconnect" -l older-than -x -a '30s 10m 1h' -d 'accepted so long ago'
complete -c connlimit -n "__fish_seen_subcommand_from disconnect" -l idle -x -a '30s 10m 1h' -d 'no data for so long'
complete -c connlimit -n "__fish_seen_subcommand_from disconnect" -l dry-run -d 'only say which'
complete -c connlimit -n "__fish_seen_subcommand_from check run" -a '(__fish_complete_command)'
complete -c connlimit -n "__fish_seen_subcommand_from $commands" -l help -d 'options and exit statuses'
complete -c connlimit -n "__fish_seen_subcommand_from status clients events" -l json -d 'for programs'
complete -c connlimit -n "__fish_seen_subcommand_from status clients" -l compact -d 'JSON on one line'
complete -c connlimit -n "__fish_seen_subcommand_from events" -l once -d 'only what is kept'
complete -c connlimit -n "__fish_seen_subcommand_from status" -l watch -d 'again and again'
complete -c connlimit -n "__fish_seen_subcommand_from status" -l networks -d 'networks instead of clients'
complete -c connlimit -n "__fish_seen_subcommand_from status" -l names -d "only the tables' names"
complete -c connlimit -n "__fish_seen_subcommand_from top" -l delay -x -d 'seconds between looks'
complete -c connlimit -n "__fish_seen_subcommand_from metrics" -l output -r -F -d 'into a file'
complete -c connlimit -n "__fish_seen_subcommand_from metrics" -l listen -x -d 'on a loopback port'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l redis -x -d URL
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l redis-file -r -F -d 'a URL in each line'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l ca -r -F -d 'certificates to trust'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l cert -r -F -d 'certificate to show'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l key -r -F -d 'its key'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l cluster -x -d 'name of the fleet'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l node -x -d 'name of this machine'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l table -x -a '(__connlimit_tables)' -d 'only this table'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l user -x -a '(__fish_complete_users)' -d 'tables of its daemons as well'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l bans -d 'share bans as well'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l interval -x -d 'ms between exchanges'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l lease -x -d 'ms that word is good for'
complete -c connlimit -n "__fish_seen_subcommand_from sync" -l verbose -d 'say what is told'
for setting in (__connlimit_settings | string replace = '')
    complete -c connlimit -n "__fish_seen_subcommand_from run" -l $setting -x -a "(__connlimit_values $setting)" -d setting
end
