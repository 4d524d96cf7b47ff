/*
 * The specification of a pool and its back-end, for Spin (https://spinroot.com): whoever
 * waits while puts go on is served, or told why not.
 *
 * loom checks the code, in worlds that end. This checks the rules that the code keeps,
 * in executions without end: that something does happen, in each that is fair. Names
 * are those of docs/STATES.md. `cargo xtask spin` runs it, and says what must hold and
 * what must fail.
 *
 * The world: a pool of pages of one item, at most LIMIT pages; an arena, of whose
 * QUANTA pages the pool has one at the start; GETTERS that get, and put what they got, over
 * and over until they come no more; and a thief, another client of the arena, which takes what
 * it finds, and frees it or keeps it. What one lock covers is one atomic step. All getters
 * are alike, so that the property is stated of the first. Fair is what weak fairness is: who
 * can take a step from some moment on takes it. So whoever has an item puts it, and the
 * arena may have nothing for ever.
 *
 * PROTOCOL is one of
 *
 *   CHOOSE   the library's own: a getter waits on its node, its request stays with the
 *            arena as a token, and whichever comes first, a put or a page, serves the oldest
 *   CLAIM    option 3 with claims: a getter sleeps in the back-end, and while it does a put
 *            frees its page to that getter's claim
 *   RELEASE  option 3 as it was posted: the put frees its page and wakes who sleeps
 *   SLEEP    the status quo: a getter sleeps in the back-end, and a put puts
 *
 * The first two keep the promise; the other two are known to be wrong. So is CHOOSE without
 * one of its rules:
 *
 *   NO_KICK            nobody is told to look, or to ask again
 *   NO_BOUND           a waiter may be overtaken for ever
 *   QUEUES_WITHDRAWN   a request that was withdrawn on its way to the arena is queued
 *   NO_FORGET          one that was withdrawn in the arena's queue stays there, and in its slot
 */

#define CHOOSE	1
#define CLAIM	2
#define RELEASE	3
#define SLEEP	4

#ifndef PROTOCOL
#define PROTOCOL CHOOSE
#endif
#ifndef GETTERS
#define GETTERS 2
#endif
#ifndef LIMIT
#define LIMIT 2
#endif
#ifndef QUANTA
#define QUANTA 2
#endif
#ifndef BYPASS
#define BYPASS 1
#endif

#define NOTHING	0
#define ITEM	1
#define ERROR	2

/* The pool, under its lock. */
byte pages = 1, growing = 0, idle = 1;
byte overtaken = 0;			/* so often was the oldest waiter */
chan line = [GETTERS] of { byte };	/* who waits, oldest first */
bool waits[GETTERS];
bool asleep[GETTERS];			/* inside the back-end, where no put is seen */
bool kicked[GETTERS];			/* was told to look */
byte outcome[GETTERS];			/* what it finds when it looks */

/* Its requests for pages, a slot for each getter. */
mtype = { VACANT, RESERVED, ASKED, COMMITTED, WITHDRAWN };
mtype slot[GETTERS] = VACANT;

/* The arena, under its lock. */
byte free = QUANTA - 1;
chan requests = [GETTERS] of { byte };	/* tokens, or who sleeps; oldest first */
bool granted[GETTERS];			/* who sleeps has a page */
bool kept[GETTERS];			/* a page is there for its claim */

/* Pages given up for one who is asleep, on their way to the arena. */
chan leaving = [GETTERS] of { byte };

hidden byte w, g;

#define short_of_pages	(len(line) > idle + growing && pages + growing < LIMIT)

/* P1, and no item without its page. */
inline check() { assert(pages + growing <= LIMIT && idle <= pages) }

/* The oldest waiter is served, or told. */
inline end_head(how) { line?w; outcome[w] = how; kicked[w] = false; overtaken = 0 }

/* The law of rest, restored before each unlock. */
inline settle() {
	do
	:: idle > 0 && len(line) > 0 ->
		line?<w>;
		if
		:: asleep[w] -> line?w; leaving!w; idle--; pages--; overtaken = 0
		:: !asleep[w] && overtaken >= BYPASS -> end_head(ITEM); idle--
		:: else -> break
		fi
	:: else -> break
	od;
#ifndef NO_KICK
	if
	:: len(line) > 0 ->
		line?<w>;
		if
		:: !asleep[w] && (idle > 0 || short_of_pages) -> kicked[w] = true
		:: else
		fi
	:: else
	fi;
#endif
#if PROTOCOL == CHOOSE
	/* A request that nobody needs any more is withdrawn. */
	g = 0;
	do
	:: g < GETTERS ->
		if
		:: len(line) < idle + growing && (slot[g] == RESERVED || slot[g] == ASKED) ->
			slot[g] = WITHDRAWN; growing--
		:: else
		fi;
		g++
	:: else -> break
	od;
#endif
	check()
}

/* The arena: what is free is whose turn it is. */
inline grant() {
	do
	:: free > 0 && len(requests) > 0 ->
		requests?w;
#if PROTOCOL == CHOOSE
		if
		:: slot[w] == ASKED -> slot[w] = COMMITTED; free--
		:: slot[w] == WITHDRAWN -> slot[w] = VACANT
#ifdef QUEUES_WITHDRAWN
		:: else -> free--	/* nobody has it */
#endif
		fi
#else
		granted[w] = true; free--
#endif
	:: else -> break
	od
}

/* Takes what is idle past who waits, as far as it may (P4), or gets in line. */
inline look_or_wait() {
	if
	:: idle > 0 && (len(line) == 0 || overtaken < BYPASS) ->
		idle--; outcome[me] = ITEM;
#ifndef NO_BOUND
		if
		:: len(line) > 0 -> overtaken++
		:: else
		fi
#endif
	:: else -> waits[me] = true; line!me; kicked[me] = true
	fi
}

#if PROTOCOL == CHOOSE

proctype Getter(byte me)
{
	bool asks;
get:	atomic { look_or_wait(); settle() }
	do
	:: atomic { outcome[me] != NOTHING ->
			waits[me] = false; kicked[me] = false }
		break
	:: atomic { kicked[me] && outcome[me] == NOTHING ->
			kicked[me] = false;
			line?<w>;
			if
			:: idle > 0 && w == me -> end_head(ITEM); idle--
			:: else ->
				if
				:: short_of_pages && slot[me] == VACANT ->
					slot[me] = RESERVED; growing++; asks = true
				:: else
				fi
			fi;
			settle() }
		if
		:: asks ->
			asks = false;
			if	/* in the arena */
			:: atomic { slot[me] == WITHDRAWN ->
#ifdef QUEUES_WITHDRAWN
					requests!me;
#endif
					slot[me] = VACANT }
			:: atomic { slot[me] == RESERVED && free > 0 && len(requests) == 0 ->
					slot[me] = COMMITTED; free-- }
			:: atomic { slot[me] == RESERVED && !(free > 0 && len(requests) == 0) ->
					slot[me] = ASKED; requests!me }
			:: atomic { slot[me] == RESERVED -> /* it refuses */
					slot[me] = VACANT; growing--;
					if
					:: len(line) > 0 -> end_head(ERROR)
					:: else
					fi;
					settle() }
			fi
		:: else
		fi
	od;
	atomic {	/* put */
		if
		:: outcome[me] == ITEM -> idle++
		:: else
		fi;
		outcome[me] = NOTHING;
		settle()
	}
	if
	:: goto get
	:: skip	/* it comes no more */
	fi
}

/* What is done when a lock is dropped: pages that were granted are delivered, tokens that were
 * withdrawn are taken out of the arena's queue. */
proctype Unlocked()
{
	byte n;
end:	do
	:: n < GETTERS ->
		if
		:: atomic { slot[n] == COMMITTED ->
				slot[n] = VACANT; growing--; pages++; idle++; settle() }
#ifndef NO_FORGET
		:: atomic { slot[n] == WITHDRAWN && requests??[eval(n)] ->
				requests??eval(n); slot[n] = VACANT; settle() }
#endif
		:: else
		fi;
		n++
	:: else -> n = 0
	od
}

#else	/* a getter sleeps in the back-end */

proctype Getter(byte me)
{
get:	atomic {
		if
		:: idle == 0 && pages + growing < LIMIT ->
			waits[me] = true; asleep[me] = true; growing++;
#if PROTOCOL != SLEEP
			line!me;	/* so that a put knows of it */
#endif
		:: else -> look_or_wait()
		fi;
		settle()
	}
	do
	:: atomic { !asleep[me] && outcome[me] != NOTHING -> waits[me] = false; kicked[me] = false } break
	:: atomic { !asleep[me] && kicked[me] && outcome[me] == NOTHING ->
			kicked[me] = false;
			line?<w>;
			if
			:: idle > 0 && w == me -> end_head(ITEM); idle--
			:: else ->
				if
				:: short_of_pages ->
					asleep[me] = true; growing++;
#if PROTOCOL == SLEEP
					line??eval(me)
#endif
				:: else
				fi
			fi;
			settle() }
	:: asleep[me] ->
#if PROTOCOL == RELEASE
		atomic { free > 0 -> free-- };
#else
		atomic {
			if
			:: kept[me] -> kept[me] = false; granted[me] = true
			:: else -> requests!me; grant()
			fi
		}
		granted[me];
#endif
		atomic {
			granted[me] = false; asleep[me] = false; kicked[me] = false;
			growing--; pages++; outcome[me] = ITEM;
			if
			:: line??[eval(me)] -> line??eval(me)
			:: else
			fi;
			settle()
		}
	od;
	atomic { outcome[me] = NOTHING; idle++; settle() }	/* put */
	if
	:: goto get
	:: skip	/* it comes no more */
	fi
}

/* What is done when the pool's lock is dropped. */
proctype Unlocked()
{
	byte heir;
end:	do
	:: atomic { leaving?heir ->
#if PROTOCOL == CLAIM
			if
			:: requests??[eval(heir)] -> requests??eval(heir); granted[heir] = true
			:: !requests??[eval(heir)] && asleep[heir] && !granted[heir] -> kept[heir] = true
			:: else -> free++; grant()
			fi;
#else
			free++;
#endif
			heir = 0 }
	od
}

#endif

/* Another client of the arena. It need not free what it has. */
proctype Thief()
{
	byte has;
end:	do
	:: atomic { free > 0 && len(requests) == 0 -> free--; has++ }
	:: atomic { has > 0 -> has--; free++; grant() }
	:: has > 0 -> skip
	od
}

init {
	atomic {
		byte n;
		for (n : 0 .. GETTERS - 1) { run Getter(n) }
		n = 0;
		run Unlocked();
		run Thief()
	}
}

/* P2: the pool's one page always is somewhere, so that puts go on. */
ltl served { [] (waits[0] -> <> !waits[0]) }

/* P5: what was withdrawn does not keep its slot. */
ltl vacated { [] (slot[0] == WITHDRAWN -> <> (slot[0] != WITHDRAWN)) }
