/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A live migration's two sides and the line between them, for spin (package spin):
 *
 *	spin -a migration.pml && cc -DSAFETY -DNOCLAIM -o pan pan.c && ./pan   every state: no assertion fails, nobody hangs
 *	cc -DNFAIR=3 -o pan pan.c && ./pan -a -f                        both sides come to an end
 *	spin -DGOES_ON -a ...                                         control: a source that resumes in the open window
 *	spin -DRUNS_EARLY -a ...                                      control: a destination that does not wait for COMMIT
 *	spin -DKEPT_GOES_ON -a ...                                    control: a source that resumes when post-copy's line is lost
 *	spin -DBROKEN_ENDS -a ...                                     control: a destination that ends then
 *
 * tests/lint/model.t does that. The names are those of state/course.c and migration-protocol.md. Rounds of pages are one
 * message here: what matters is who runs the guest, when the line may end before, between and after any two messages.
 */

mtype = { OFFER, ACCEPT, PAGES, SEEN, PAUSED, STATE, LOADED, COMMIT, RUNNING, ABORT, MISSING, REQUEST, COMPLETE, REJOIN, JOINED };

mtype = { s_hello, s_offered, s_copying, s_paused, s_loading, s_ready, s_committed, s_done, s_failed, s_undecided,
	s_serving, s_kept, s_unsure };
mtype = { d_waiting, d_copying, d_loading, d_loaded, d_running, d_failed, d_filling, d_broken };

#define JOINS 2 /* how often a user joins the two again */

chan to_d = [8] of { mtype };
chan to_s = [8] of { mtype };

bool cut = false;	/* nothing that is sent arrives any more */
mtype source = s_hello;
mtype destination = d_waiting;

bool source_guest = true;
bool destination_guest = false;

bool late = false;	/* post-copy: a page is left when the guest goes on */
bool has = false;	/* it came */
byte joins = 0;

bool rejoining = false;	/* the source waits for the answer */

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

/* The line ends at any moment, and takes what is under way with it, or a part of it, or nothing; and so does each new one. */
active proctype line()
{
	byte lines = 0;

end:	do
	:: atomic {
		!cut && lines <= JOINS ->
		lines++;
		cut = true;
		do
		:: nempty(to_d) -> to_d?_
		:: nempty(to_s) -> to_s?_
		:: break
		od
	}
	:: lines > JOINS -> break
	od
}

/*
 * A user joins the two again, when both have noticed and the destination is still there. If it is not (it ended before COMMIT
 * came), the user lets the guest run where it is.
 */
active proctype User()
{
end:	do
	:: atomic {
		source == s_unsure && !rejoining && destination == d_failed ->
		source = s_failed;
		source_guest = true;
		NEVER_BOTH
	}
	:: atomic {
		(source == s_kept || source == s_unsure) && !rejoining && joins < JOINS && cut &&
			(destination == d_broken || destination == d_running) ->
		do
		:: nempty(to_d) -> to_d?_
		:: nempty(to_s) -> to_s?_
		:: empty(to_d) && empty(to_s) -> break
		od;
		joins++;
		cut = false;
		to_d!REJOIN;
		rejoining = true
	}
	:: source == s_done || source == s_failed || source == s_undecided -> break
	od
}

/* The other side is heard no more: cut and nothing under way, or it has ended. Stalled is the same. */
#define SILENT_FOR_SOURCE      (empty(to_s) && (cut || destination == d_failed || destination == d_broken))
#define SILENT_FOR_DESTINATION (empty(to_d) && (cut || source == s_failed || source == s_done || source == s_undecided || \
	((source == s_kept || source == s_unsure) && !rejoining)))

/* Between the commit and its answer. */
inline line_lost()
{
#ifdef GOES_ON
	atomic { source = s_failed; source_guest = true; NEVER_BOTH }
#else
	if
	:: late -> source = s_unsure
	:: else -> source = s_undecided
	fi
#endif
}

inline source_keeps()
{
#ifdef KEPT_GOES_ON
	atomic { source = s_failed; source_guest = true; NEVER_BOTH }
#else
	source = s_kept
#endif
}

active proctype Source()
{
	mtype m;
	byte rounds = 0;

	send(to_d, OFFER);
	source = s_offered;
end:	do
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
		:: late = true; send(to_d, PAUSED); send(to_d, MISSING); send(to_d, STATE); source = s_loading
		:: source_fails()
		fi
	:: source == s_loading ->
		if
		:: to_s?m ->
			if
			:: m == LOADED -> source = s_ready
			:: m == REQUEST && late -> send(to_d, PAGES) /* KVM waits for it while state is loaded */
			:: else -> source_fails()
			fi
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
			:: m == RUNNING && late -> source = s_serving
			:: m == RUNNING && !late -> source = s_done
			:: m == ABORT -> atomic { source = s_failed; source_guest = true; NEVER_BOTH }
			:: m == REQUEST && late -> send(to_d, PAGES)
			:: else -> line_lost()
			fi
		:: SILENT_FOR_SOURCE -> line_lost()
		fi
	:: source == s_serving ->
		if
		:: to_s?m ->
			if
			:: m == REQUEST -> send(to_d, PAGES)
			:: m == COMPLETE -> source = s_done
			:: else -> source_keeps()
			fi
		:: SILENT_FOR_SOURCE -> source_keeps()
		fi
	:: (source == s_kept || source == s_unsure) && rejoining ->
end1:		if
		:: atomic { to_s?m ->
			rejoining = false;
			if
			:: m == JOINED -> source = s_serving
			:: m == COMPLETE -> source = s_done
			:: else
			fi }
		:: atomic { empty(to_s) && cut -> rejoining = false }
		fi
	:: source == s_done || source == s_failed || source == s_undecided -> break
	od
}

inline destination_breaks()
{
#ifdef BROKEN_ENDS
	destination_guest = false;
	destination_fails()
#else
	atomic { destination = d_broken; destination_guest = false }
#endif
}

#define SOURCE_ENDED (source == s_done || source == s_failed || source == s_undecided)

active proctype Destination()
{
	mtype m;
	bool last = false, knows = false, asked = false;

end:	do
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
			:: m == MISSING && last && !knows -> knows = true
			:: else -> destination_fails()
			fi
		:: SILENT_FOR_DESTINATION -> destination_fails()
		:: destination_fails()
		fi
	:: destination == d_loading ->
		if
		:: !knows || has || !asked -> send(to_s, LOADED); destination = d_loaded
		:: knows && !asked -> asked = true; send(to_s, REQUEST)
		:: asked && !has ->
			if
			:: to_d?m -> if :: m == PAGES -> has = true :: else -> destination_fails() fi
			:: SILENT_FOR_DESTINATION -> destination_fails()
			fi
		:: destination_fails()
		fi
	:: destination == d_loaded ->
#ifdef RUNS_EARLY
		atomic { destination = d_running; destination_guest = true; NEVER_BOTH }
#else
		if
		:: to_d?m ->
			if
			:: m == COMMIT && !knows -> atomic { destination = d_running; destination_guest = true; NEVER_BOTH }
				send(to_s, RUNNING)
			:: m == COMMIT && knows -> atomic { destination = d_filling; destination_guest = true; NEVER_BOTH }
				send(to_s, RUNNING);
				asked = has
			:: else -> destination_fails()
			fi
		:: SILENT_FOR_DESTINATION -> destination_fails()
		:: destination_fails() /* stopped */
		fi
#endif
	:: destination == d_filling ->
		if
		:: has -> send(to_s, COMPLETE); destination = d_running
		:: !has && !asked -> asked = true; send(to_s, REQUEST)
		:: !has && asked ->
			if
			:: to_d?m -> if :: m == PAGES -> has = true :: else -> destination_breaks() fi
			:: SILENT_FOR_DESTINATION -> destination_breaks()
			fi
		fi
	:: destination == d_broken || (destination == d_running && knows) ->
		/* A line that a user has joined. What it brings at first is the number of this migration. */
end1:		if
		:: to_d?m ->
			if
			:: m == REJOIN && destination == d_running -> send(to_s, COMPLETE)
			:: m == REJOIN && destination == d_broken ->
				send(to_s, JOINED);
				asked = false;
				atomic { destination = d_filling; destination_guest = true; NEVER_BOTH }
			:: else
			fi
		:: SOURCE_ENDED && destination == d_running -> break
		fi
	:: (destination == d_running && !knows) || destination == d_failed -> break
	od
}

/* No user is left who could join them: the third line was lost too. */
#define GIVEN_UP ((source == s_kept || source == s_unsure) && joins == JOINS && cut && !rejoining)
#define ENDED ((SOURCE_ENDED && (destination == d_running || destination == d_failed)) || \
	(GIVEN_UP && (destination == d_running || destination == d_broken)))
#define ONE_RUNS (source_guest != destination_guest)

/*
 * When both are at their end exactly one guest runs; or the source stands still and a user is asked; or the guest's memory is
 * on both sides, kept, and waits for a user. Never is it lost.
 */
active proctype Judge()
{
end:	do
	:: source == s_kept -> assert(destination != d_failed);
end1:		source != s_kept
	:: ENDED && !GIVEN_UP -> assert(ONE_RUNS || source == s_undecided); break
	od
}

/* Nobody hangs: when nothing can happen any more both are at an end, or wait for a user. */
active proctype Watch()
{
	timeout -> assert((SOURCE_ENDED || source == s_kept || source == s_unsure) &&
		(destination == d_running || destination == d_failed || destination == d_broken))
}

ltl ends { <> ENDED }
