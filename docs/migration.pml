/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A live migration's two sides and the line between them, for spin (package spin):
 *
 *	spin -a migration.pml && cc -DSAFETY -DNOCLAIM -o pan pan.c && ./pan   every state: no assertion fails, nobody hangs
 *	cc -o pan pan.c && ./pan -a -f -N ends                          both sides come to an end
 *	spin -DGOES_ON -a ...                                         control: a source that resumes in the open window
 *	spin -DRUNS_EARLY -a ...                                      control: a destination that does not wait for COMMIT
 *
 * tests/lint/model.t does that. The names are those of state/course.c and migration-protocol.md. Rounds of pages are one
 * message here: what matters is who runs the guest, when the line may end before, between and after any two messages.
 */

mtype = { OFFER, ACCEPT, PAGES, SEEN, PAUSED, STATE, LOADED, COMMIT, RUNNING, ABORT };

mtype = { s_hello, s_offered, s_copying, s_paused, s_loading, s_ready, s_committed, s_done, s_failed, s_undecided };
mtype = { d_waiting, d_copying, d_loading, d_loaded, d_running, d_failed };

chan to_d = [8] of { mtype };
chan to_s = [8] of { mtype };

bool cut = false;	/* nothing that is sent arrives any more */
mtype source = s_hello;
mtype destination = d_waiting;

bool source_guest = true;
bool destination_guest = false;

#define NEVER_BOTH assert(!(source_guest && destination_guest))

/* A message that is sent after the line was cut is lost without a word. */
inline send(line, m)
{
	if
	:: cut
	:: !cut -> line!m
	fi
}

inline source_fails()
{
	send(to_d, ABORT);
	atomic { source = s_failed; source_guest = true; NEVER_BOTH }
}

inline destination_fails()
{
	destination = d_failed;
	send(to_s, ABORT)
}

/* The line ends at any moment, and takes what is under way with it, or a part of it, or nothing. */
active proctype line()
{
	atomic {
		cut = true;
		do
		:: nempty(to_d) -> to_d?_
		:: nempty(to_s) -> to_s?_
		:: break
		od
	}
}

/* The other side is heard no more: cut and nothing under way, or it has ended. Stalled is the same. */
#define SILENT_FOR_SOURCE      (empty(to_s) && (cut || destination == d_failed))
#define SILENT_FOR_DESTINATION (empty(to_d) && (cut || source == s_failed || source == s_done || source == s_undecided))

active proctype Source()
{
	mtype m;
	byte rounds = 0;

	send(to_d, OFFER);
	source = s_offered;
	do
	:: source == s_offered ->
		if
		:: to_s?m -> if :: m == ACCEPT -> source = s_copying :: else -> source_fails() fi
		:: SILENT_FOR_SOURCE -> source_fails()
		:: source_fails() /* cancelled */
		fi
	:: source == s_copying ->
		if
		:: rounds < 2 ->
			rounds++;
			send(to_d, PAGES);
			if
			:: to_s?m -> if :: m == SEEN :: else -> source_fails() fi
			:: SILENT_FOR_SOURCE -> source_fails()
			fi
		:: atomic { source = s_paused; source_guest = false }
		:: source_fails()
		fi
	:: source == s_paused ->
		if
		:: send(to_d, PAUSED); send(to_d, PAGES); send(to_d, STATE); source = s_loading
		:: source_fails()
		fi
	:: source == s_loading ->
		if
		:: to_s?m -> if :: m == LOADED -> source = s_ready :: else -> source_fails() fi
		:: SILENT_FOR_SOURCE -> source_fails()
		:: source_fails()
		fi
	:: source == s_ready ->
		if
		:: atomic { send(to_d, COMMIT); source = s_committed }
		:: source_fails() /* its last byte was not sent */
		fi
	:: source == s_committed ->
		if
		:: to_s?m ->
			if
			:: m == RUNNING -> source = s_done
			:: m == ABORT -> atomic { source = s_failed; source_guest = true; NEVER_BOTH }
			:: else -> source = s_undecided
			fi
		:: SILENT_FOR_SOURCE ->
#ifdef GOES_ON
			atomic { source = s_failed; source_guest = true; NEVER_BOTH }
#else
			source = s_undecided
#endif
		fi
	:: source == s_done || source == s_failed || source == s_undecided -> break
	od
}

active proctype Destination()
{
	mtype m;
	bool last = false;

	do
	:: destination == d_waiting ->
		if
		:: to_d?m ->
			if
			:: m == OFFER -> send(to_s, ACCEPT); destination = d_copying
			:: m == OFFER -> destination_fails() /* refused */
			:: else -> destination_fails()
			fi
		:: SILENT_FOR_DESTINATION -> destination_fails()
		:: destination_fails()
		fi
	:: destination == d_copying ->
		if
		:: to_d?m ->
			if
			:: m == PAGES && !last -> send(to_s, SEEN)
			:: m == PAGES && last
			:: m == PAUSED && !last -> last = true
			:: m == STATE && last -> destination = d_loading
			:: else -> destination_fails()
			fi
		:: SILENT_FOR_DESTINATION -> destination_fails()
		:: destination_fails()
		fi
	:: destination == d_loading ->
		if
		:: send(to_s, LOADED); destination = d_loaded
		:: destination_fails()
		fi
	:: destination == d_loaded ->
#ifdef RUNS_EARLY
		atomic { destination = d_running; destination_guest = true; NEVER_BOTH }
#else
		if
		:: to_d?m ->
			if
			:: m == COMMIT -> atomic { destination = d_running; destination_guest = true; NEVER_BOTH }
				send(to_s, RUNNING)
			:: else -> destination_fails()
			fi
		:: SILENT_FOR_DESTINATION -> destination_fails()
		:: destination_fails() /* stopped */
		fi
#endif
	:: destination == d_running || destination == d_failed -> break
	od
}

#define ENDED ((source == s_done || source == s_failed || source == s_undecided) && \
	(destination == d_running || destination == d_failed))
#define ONE_RUNS (source_guest != destination_guest)

/* When both are at their end exactly one guest runs, or the source stands still and a user is asked. */
active proctype Judge()
{
	ENDED -> assert(ONE_RUNS || source == s_undecided)
}

ltl ends { <> ENDED }
