/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of one page of guest RAM, for spin: what vmm/fault.c, pagein.c,
 * pageout.c, move.c, recover.c, late.c and keeper/tracer.c do to it, what the kernel and
 * the devices do meanwhile, and a pager that dies between any two steps of its
 * own that outlive it.
 *
 * Everything that one system call, one store of a word, or one change in the
 * pager's memory does is one step.  Names are those of the C functions.
 *
 * What a place holds is not data but how it stands to the truth, that is, to what the
 * guest wrote last: GOOD it is that; OLD it was once; ALIEN it never was; ZERO zeros.  A
 * write of the guest makes one copy GOOD and each other GOOD one OLD.  After the
 * guest has given the page back, either of zeros and what was there is right,
 * until it has looked (`any`).
 *
 * After a death an older content too is taken for right in a page that
 * was given back: between UFFDIO_COPY and object_pop the word names an older
 * block, and if the guest writes to the page and gives it back before the next pager
 * looks, that one is found.  STRICT_DISCARD does not allow it.
 *
 * Blocks have one owner each.  OTHER stands for all other guests.  A write that
 * a dead pager, or a broken connection, has left on its way lands, or not, at any
 * time before the hold of its block is over; the model has it that the hold
 * (DRUM_HOLD_NS) is longer than any such write is under way.
 *
 * Variants: BUG_... breaks one rule each; tests/model/run has spin find it.
 * COVER has pan print which events were met in which state of the page.
 * LIVE: for the search for waiters that are never woken: whatever has to be
 * done is done before what may be done, as in turn() of worker.c.
 */

#ifndef NB
#define NB 2		/* blocks */
#endif
#ifndef NV
#define NV 1		/* threads of the VMM that touch the page */
#endif
#ifndef DEATHS
#define DEATHS 2	/* of the pager */
#endif
#ifndef DIES_WHEN
#define DIES_WHEN true	/* less makes the search for a known fault shorter */
#endif

/* contents */
#define NONE  0		/* a hole, or nothing */
#define ZERO  1
#define GOOD  2
#define OLD   3
#define ALIEN 4

/* states of the page, as in vmm/pages.h */
#define HOLE     0
#define ACTIVE   1
#define INACTIVE 2
#define WRITING  3
#define SWAPPED  4
#define READING  5

/* a word of the object: which flags it has */
#define W 1		/* SWB_WRITING */
#define V 2		/* SWB_VALID */
#define K 3		/* SWB_KEPT */

/* owners of a block */
#define FREE  0
#define US    1
#define OTHER 2
#define HELD  3

/* an I/O */
#define IDLE   0
#define FLIGHT 1
#define OK     2
#define FAIL   3
#define LATE   4	/* an error, and it may still be carried out */
#define AGAIN  5	/* a read that has failed: to be tried again */

/* a thread of the VMM */
#define RUN     0
#define PENDING 1	/* its fault has not been read */
#define READ    2	/* its fault has been read, and it waits */

/* --- what outlives the pager ---------------------------------------------------- */

byte mem = NONE;	/* the memfd */
bool map;		/* the VMM's page table */
bool poisoned;		/* there, too: UFFDIO_POISON */
bool zok = 1, any;	/* zeros are right; what was there before is, too */
byte word, addr;	/* the object's file: flags, block */
byte v[NV];
byte blk[NB] = ALIEN;	/* what blocks hold */
bool intent[NB];	/* the object's file: an intent, or the note of a late block */
byte own[NB];		/* OTHER outlives the pager, the rest is its memory */
bool late[NB];		/* a write is on its way that nobody waits for */

byte removes;		/* a REMOVE of a zap: 1 queued, 2 read, and its thread goes on */
byte given;		/* the same, of the guest's giving back */
bool giving;		/* the guest is giving the page back: it does not touch it */
bool pin, orphan;	/* DMA has a reference; to a page that is the memfd's no more */

bool asked;		/* MSG_ZAP lies in the channel */
bool zapping;		/* tracer.zapping */
bool zapped;		/* MSG_ZAPPED lies in the channel */

byte deaths;
bool up;		/* the pager serves */

/* --- the pager's memory ----------------------------------------------------------- */

byte st = HOLE;
bool mark;		/* PAGE_ZAPPING */
bool zap;		/* zap.busy */
bool parked[NV];
byte wr, wb, wval;	/* page-out's write: state, block, data on its way */
byte rd, rb, buf;	/* page-in's read: state, block, data */
bool moving;		/* pagein.move */
byte mw, mb;		/* the write of a move: state, block; its data is buf's */
bool waiter, dropped;	/* pagein.waiters, pagein.discarded */
bool again;		/* the read has failed once */

#define changing (removes || given)	/* mmap_changing: ioctls get EAGAIN */

/* COVER: say once of each state of the page in which each event was met */
#ifdef COVER
c_decl {
	static void cover(int state, const char *event)
	{
		static const char *const names[] = { "hole", "active", "inactive",
						     "writing", "swapped", "reading" };
		static struct { const char *event; int state; } seen[128];
		static int n;

		for (int i = 0; i < n; i++)
			if (!strcmp(seen[i].event, event) && seen[i].state == state)
				return;
		seen[n].event = event;
		seen[n++].state = state;
		printf("met: %s %s\n", names[state], event);
	}
}
#define MET(e) c_code { cover(now.st, e); }
#else
#define MET(e) skip
#endif

/* --- truth -------------------------------------------------------------------------- */

#ifndef LIVE
/* Something new is written; all copies become old, then `where` is what it is. */
inline forget_copies()
{
	for (k : 0 .. NB - 1) {
		if :: blk[k] == GOOD -> blk[k] = OLD :: else fi
	}
	k = 0;
	if :: mem == GOOD -> mem = OLD :: else fi;
	if :: buf == GOOD -> buf = OLD :: else fi;
	/* a write reads the memory as long as it is under way: both halves of a
	 * page that changes meanwhile are on their way */
	if :: wval != NONE -> wval = OLD :: else fi
}

/* => the page is in the memfd, and changes */
inline store(what)
{
	forget_copies();
	mem = what;
	any = 0;
	zok = (what == ZERO)
}

/* What the guest sees must be what it wrote. */
inline load()
{
	if
	:: mem == GOOD ->
		if :: any -> any = 0; zok = 0 :: else fi
	:: mem == ZERO ->
		assert(zok);
		if :: any -> any = 0; forget_copies() :: else fi
#ifndef STRICT_DISCARD
	:: mem == OLD && any ->
		forget_copies();
		mem = GOOD; any = 0; zok = 0
#endif
	:: else -> assert(false)	/* stale, or somebody else's */
	fi
}
#else
/* which of its contents a place holds wakes nobody */
#define forget_copies() skip
#define store(what)     mem = what
#define load()          skip
#endif

inline wake_all()
{
	for (k : 0 .. NV - 1) { v[k] = RUN }
	k = 0
}

/* FALLOC_FL_PUNCH_HOLE: from the memfd, and from all page tables. */
inline punch()
{
	if :: pin && mem != NONE -> orphan = 1 :: else fi;
	mem = NONE; map = 0
}

/* --- the VMM ---------------------------------------------------------------------------- */

/* A thread that runs guest code, or the VMM's own. */
proctype toucher(byte i)
{
	byte k;
end:	do
	:: atomic { v[i] == RUN && !giving && poisoned && !map -> skip /* SIGBUS */ }
	:: d_step { v[i] == RUN && !giving && map -> load() }
	:: d_step { v[i] == RUN && !giving && map -> store(GOOD) }
	:: d_step { v[i] == RUN && !giving && map -> store(ZERO) }
	:: d_step { v[i] == RUN && !giving && !map && !poisoned -> v[i] = PENDING }
	od
}

/* A device: takes a reference, writes when it likes, lets go. */
proctype dma()
{
	byte k;
end:	do
	:: d_step { !pin && map && !giving -> pin = 1 }
	:: d_step { pin && !orphan -> store(GOOD) }
	:: d_step { pin && orphan ->	/* it is lost, and nobody is told */
			forget_copies(); zok = 0; any = 0; pin = 0; orphan = 0 }
	:: d_step { pin -> pin = 0; orphan = 0 }
	od
}

/* The balloon, free page reporting: punch, then madvise; or nothing comes of that. */
proctype balloon()
{
	byte k;
#ifdef LIVE
	/* who gives back without end has faults wait without end: EAGAIN */
	byte times;
#define MAY_GIVE (times < 2)
#define GIVE times++
#else
#define MAY_GIVE true
#define GIVE skip
#endif
end:	do
	:: d_step { MAY_GIVE && !pin && !giving -> giving = 1; GIVE;
#ifndef LIVE
		if
		:: mem == ZERO || (mem == NONE && word != V) -> forget_copies()
		:: else
		fi;
		any = 1; zok = 1;
#endif
		punch()
	   }
	   if
	   :: d_step { if :: up -> MET("punch-without-event") :: else fi;
			giving = 0 }		/* the event never comes */
	   :: d_step { given = 1 };
	      d_step { given == 2 -> given = 0 };	/* from here on no EAGAIN, */
	      /* and only now the page table */
	      d_step { map = 0; poisoned = 0; giving = 0 }
	   fi
	od
}

/* --- the keeper ----------------------------------------------------------------------------- */

proctype keeper()
{
end:	do
#ifdef BUG_ZAP_NOT_NOTED
	/* received, and not yet noted: a pager that comes now does not hear of it */
	:: d_step { asked -> asked = 0 }; d_step { zapping = 1; removes = 1 };
#else
	:: d_step { asked -> asked = 0; zapping = 1; removes = 1 };
#endif
	   /* attach_zap: madvise waits until its event is read, then goes on */
	   d_step { removes == 2 -> removes = 0 };
	   d_step { map = 0; poisoned = 0; zapping = 0; zapped = up }
	od
}

/* --- devices ---------------------------------------------------------------------------------- */

/* A late write lands: nobody's page is there, and nobody else is writing there.
 * (What it leaves behind is nobody's either.) */
#define land(b) \
	assert(own[b] != OTHER && !(word == V && addr == b) && \
	       !(wr == FLIGHT && wb == b) && !(mw == FLIGHT && mb == b))

proctype disk()
{
end:	do
	:: d_step { rd == FLIGHT -> buf = blk[rb]; rd = OK }
	:: d_step { wr == FLIGHT -> blk[wb] = wval; wval = NONE; wr = OK }
	:: d_step { mw == FLIGHT -> blk[mb] = (moving -> buf : ALIEN); mw = OK }
#ifndef NO_ERRORS
	:: d_step { rd == FLIGHT -> rd = FAIL }
	:: d_step { wr == FLIGHT -> wval = NONE; wr = FAIL }
	:: d_step { mw == FLIGHT -> mw = FAIL }
	:: d_step { wr == FLIGHT -> late[wb] = 1; wval = NONE; wr = LATE }
	:: d_step { mw == FLIGHT -> late[mb] = 1; mw = LATE }
#endif
	/* it comes, or never does */
	:: d_step { late[0] -> late[0] = 0; land(0) }
	:: d_step { late[1] -> late[1] = 0; land(1) }
#if NB > 2
	:: d_step { late[2] -> late[2] = 0; land(2) }
#endif
	od
}

/* Other guests: blocks of theirs outlive the pager, as ours do. */
proctype others()
{
end:	do
	:: d_step { up && own[0] == FREE -> assert(!late[0]); own[0] = OTHER }
	:: d_step { up && own[1] == FREE -> assert(!late[1]); own[1] = OTHER }
#if NB > 2
	:: d_step { up && own[2] == FREE -> assert(!late[2]); own[2] = OTHER }
#endif
	:: d_step { up && own[0] == OTHER -> own[0] = FREE }
	:: d_step { up && own[1] == OTHER -> own[1] = FREE }
#if NB > 2
	:: d_step { up && own[2] == OTHER -> own[2] = FREE }
#endif
	od
}

/* --- the pager ---------------------------------------------------------------------- */

/*
 * One step, after which the pager may die.  A store and what follows it in
 * the pager's memory are one: nobody can tell.  After the last step of something
 * the loop of the pager may die.
 */
#define S(...) atomic { d_step { __VA_ARGS__ }; if :: MAY_DIE -> goto dead :: true fi }
#define MAY_DIE (deaths < DEATHS && DIES_WHEN)

/* drum_alloc.  Free blocks are all alike, so one of them does.
 * => b, or NB: there is none */
inline drum_alloc(b)
{
	do
	:: b < NB && own[b] != FREE -> b++
	:: else -> break
	od;
	if :: b < NB -> assert(!late[b]); own[b] = US :: else fi
}

/* what is in a block that nobody has does not matter: one value for it */
#define drum_free(b) assert(own[b] == US); own[b] = FREE; blk[b] = ALIEN

#define object_pop() word = 0; addr = 0

/* the clean copy of a page that is resident, if it has one */
inline kept_drop()
{
	if :: word == K -> drum_free(addr); object_pop() :: else fi
}

inline page_is_mapped()
{
	st = ACTIVE; mark = 0
}

/* UFFDIO_ZEROPAGE. => parked if it is to come again */
inline serve_hole(i)
{
	if
	:: changing -> parked[i] = 1
	:: !changing && mem == NONE -> mem = ZERO; map = 1; wake_all(); page_is_mapped()
	/* there after all: UFFDIO_CONTINUE */
	:: !changing && mem != NONE -> map = 1; wake_all(); page_is_mapped()
	fi
}

/* UFFDIO_CONTINUE */
inline serve_resident(i)
{
	if
	:: changing -> parked[i] = 1
	:: !changing && mem == NONE -> kept_drop(); st = HOLE; mark = 0; serve_hole(i)
	/* mapped already (EEXIST): waiters are awake by then, here */
	:: !changing && mem != NONE -> map = 1; wake_all(); page_is_mapped()
	fi
}

inline pagein_begin()
{
	st = READING; rd = FLIGHT; rb = addr
}

inline serve(i)
{
	MET("fault");
	parked[i] = 0;
	if
	:: st == HOLE -> serve_hole(i)
	:: st == ACTIVE || st == INACTIVE || st == WRITING -> serve_resident(i)
	:: st == SWAPPED -> pagein_begin(); waiter = 1
	:: st == READING -> waiter = 1
	fi
}

/* release() of pagein.c: the page has got its place */
#define release(to) object_pop(); st = to; mark = 0; drum_free(rb)

/* or its block has become a clean copy */
#define keep(to) word = K; st = to; mark = 0

#define pagein_end() rd = IDLE; rb = 0; buf = NONE; waiter = 0; dropped = 0; \
	again = 0; moving = 0

#ifdef BUG_FREE_BEFORE_PLACE
#define PLACE(where, to)	S(release(to)); d_step { where }
#else
#define PLACE(where, to)	S(where); if :: d_step { release(to) } :: d_step { keep(to) } fi
#endif

#define BY_COPY \
	assert(mem == NONE);	/* EEXIST: somebody whom we do not know */ \
	mem = buf; map = 1; wake_all()

inline place_dropped()
{
	S(release(HOLE));
	d_step {
#ifndef BUG_DISCARD_NO_WAKE
		wake_all();
#endif
		pagein_end()
	}
}

/* => stays filled if the address space is changing */
inline place()
{
	if
	:: dropped -> place_dropped()
	:: !dropped && waiter && !changing ->	/* copy_to_waiter */
		PLACE(BY_COPY, ACTIVE);
		d_step { pagein_end() }
	:: !dropped && waiter && changing -> skip
	:: !dropped && !waiter ->
		/* fill_run: through the descriptor, whatever the VMM does */
		PLACE(mem = buf, INACTIVE);
		d_step { pagein_end() }
	fi
}

/* A read has failed for good: the page stays where it is. */
inline give_up_read()
{
	if
	:: dropped -> place_dropped()
	:: d_step { !dropped && waiter && !changing ->
		poisoned = 1; wake_all(); st = SWAPPED; pagein_end() }
	:: d_step { !dropped && waiter && changing -> rd = AGAIN }
	:: d_step { !dropped && !waiter -> st = SWAPPED; pagein_end() }
	fi
}

inline discarded()
{
	if
	:: st == SWAPPED -> b = addr; object_pop(); st = HOLE; drum_free(b); b = 0
	:: st == READING -> dropped = 1
	:: (st == ACTIVE || st == INACTIVE || st == WRITING) ->
		if :: mem == NONE -> kept_drop(); st = HOLE; mark = 0 :: else fi
	:: st == HOLE -> skip
	fi
}

/* A REMOVE within a zap is never taken for given back. */
inline serve_remove()
{
	d_step {
		if
#ifndef BUG_REMOVE_IN_ZAP_FREES
		:: zap -> MET("REMOVE-in-zap")
		:: !zap -> MET("REMOVE"); discarded()
#else
		:: discarded()
#endif
		fi
	}
}

#define not_written(then) \
	object_pop(); \
	if :: st == WRITING -> st = ACTIVE :: else fi; \
	then; wr = IDLE; wb = 0

/* on_write of pageout.c */
inline on_write()
{
	d_step {
		if
		:: wr == OK -> MET("written")
		:: wr == FAIL -> MET("write-failed")
		:: wr == LATE -> MET("write-late")
		fi
	};
	if
	:: wr == OK && st == WRITING ->
#ifdef BUG_PINCHECK_LATE
		if
		:: d_step { pin -> not_written(drum_free(wb)) }
		:: !pin ->
#else
		if
		:: true ->
#endif
#ifdef BUG_PUNCH_BEFORE_VALID
			S(punch());
			S(word = V);
#else
			S(word = V);
			S(punch());
#endif
			d_step { st = SWAPPED; mark = 0; wr = IDLE; wb = 0 }
		fi
#ifdef BUG_TOUCHED_IS_VALID
	:: wr == OK && st != WRITING ->
		S(word = V); S(punch()); d_step { st = SWAPPED; mark = 0; wr = IDLE; wb = 0 }
#else
	:: d_step { wr == OK && st != WRITING -> not_written(drum_free(wb)) }
#endif
	:: d_step { wr == FAIL -> not_written(drum_free(wb)) }
	:: wr == LATE ->
#ifndef BUG_LATE_NOT_NOTED
		S(intent[wb] = 1);
#endif
#ifdef BUG_LATE_NOT_HELD
		d_step { not_written(drum_free(wb)) }
#else
		d_step { not_written(own[wb] = HELD; blk[wb] = ALIEN) }
#endif
	fi
}

/* Is the page what its copy is? */
#ifdef BUG_KEPT_NOT_COMPARED
#define SAME (word == K)
#else
#define SAME (word == K && mem == GOOD && blk[addr] == GOOD)
#endif

/* collect, sift and write_cluster of pageout.c */
inline page_out()
{
#if defined(BUG_NO_PINCHECK) || defined(BUG_PINCHECK_LATE)
	if :: true ->
#else
	if
	:: d_step { pin -> MET("pinned"); st = ACTIVE }
	:: !pin ->
#endif
		if
		:: d_step { mem == NONE -> kept_drop(); st = HOLE }	/* the event is on its way, or not */
		:: d_step { mem == ZERO -> kept_drop() }; S(punch()); d_step { st = HOLE }
		/* kept_compare: their hashes are equal */
		:: mem != NONE && mem != ZERO && SAME ->
#ifdef BUG_KEPT_PUNCHED_FIRST
			S(punch()); S(word = V);
#else
			S(word = V); S(punch());
#endif
			d_step { st = SWAPPED; mark = 0 }
		:: mem != NONE && mem != ZERO && !SAME ->
			d_step { kept_drop(); drum_alloc(b) };
			if
			:: b == NB -> b = 0			/* swap is full */
			:: b < NB ->
				S(wb = b; b = 0; word = W; addr = wb; st = WRITING);
				d_step {
					if
					:: mem == NONE -> wr = FAIL	/* EFAULT */
					:: else -> wval = mem; wr = FLIGHT
					fi
				}
			fi
		fi
	fi
}

/* move_filled of move.c */
inline move_filled()
{
	d_step { MET("move") };
	if
	:: d_step { waiter || dropped -> moving = 0 }
	:: !waiter && !dropped ->
		d_step { drum_alloc(b) };
		if
		:: d_step { b == NB -> b = 0; st = SWAPPED; pagein_end() }
		:: b < NB ->
#ifdef BUG_MOVE_WITHOUT_INTENT
			S(mb = b; b = 0);
#else
			S(mb = b; b = 0; intent[mb] = 1);
#endif
			d_step { mw = FLIGHT; rd = IDLE }
		fi
	fi
}

/* place_waiting: somebody touches a page that is being moved */
inline place_waiting()
{
	if
	:: !changing -> PLACE(BY_COPY, ACTIVE); d_step { pagein_end() }
	:: changing -> skip
	fi
}

/* on_written of move.c; the page may have been put in place by now */
inline on_moved()
{
	if
	:: mw == OK && moving && !waiter && !dropped ->
#ifdef BUG_MOVE_FREES_FIRST
		S(drum_free(rb));
		S(addr = mb);				/* the commit point */
#else
		S(addr = mb; drum_free(rb));		/* the same */
#endif
		S(intent[mb] = 0)
	:: mw == LATE ->
#ifdef BUG_LATE_NOT_NOTED
		S(intent[mb] = 0);
#endif
		S(own[mb] = HELD; blk[mb] = ALIEN)
	:: else ->
		S(intent[mb] = 0);
		S(drum_free(mb))
	fi;
	/* pagein_leave */
	d_step {
		mw = IDLE; mb = 0;
		if
		:: moving && (waiter || dropped) -> rd = OK; moving = 0
		:: moving && !waiter && !dropped -> st = SWAPPED; pagein_end()
		:: !moving
		fi
	}
}

/* ram_scan of ram.c, recover of recover.c */
inline recover()
{
	/* tracer_reconnect tells of a zap that is under way, and the old channel ends */
	d_step {
		st = (mem == NONE -> HOLE : ACTIVE); asked = 0; zapped = 0;
#ifndef BUG_ZAP_NOT_TOLD
		zap = zapping
#endif
	};
	if
	:: word == W ->
#if defined(BUG_WRITING_IS_VALID)
		d_step {
			if
			:: st == HOLE -> own[addr] = US; st = SWAPPED; word = V
			:: else -> object_pop()
			fi
		}
#else
#if !defined(BUG_INTENT_DROPPED) && !defined(BUG_NO_HOLD)
		S(intent[addr] = 1);
#endif
		S(
#ifndef BUG_NO_HOLD
			own[addr] = HELD;
#endif
			object_pop()
		)
#endif
	:: word == V ->
		assert(own[addr] == FREE);	/* drum_claim */
#ifdef BUG_BLOCK_WINS
		d_step { own[addr] = US; punch(); st = SWAPPED }
#else
		d_step {
			if
			:: st != HOLE -> blk[addr] = ALIEN; object_pop()
			:: st == HOLE -> own[addr] = US; st = SWAPPED
			fi
		}
#endif
	:: d_step { word == K -> blk[addr] = ALIEN; object_pop() }
	:: word == 0
	fi;
	/* late_recover, late_recover_intents */
	d_step {
		for (b : 0 .. NB - 1) {
			if
			:: intent[b] ->
				/* a guest that came first would find its block taken */
				assert(own[b] != OTHER);
				if
				:: own[b] == FREE ->
#ifndef BUG_NO_HOLD
					own[b] = HELD
#endif
				:: own[b] == US -> intent[b] = 0 /* a word has it: not late */
				:: own[b] == HELD
				fi;
#if defined(BUG_INTENT_DROPPED) || defined(BUG_NO_HOLD)
				intent[b] = 0
#endif
			:: else
			fi
		}
		b = 0;
		MET("restart");
#ifndef BUG_NO_WAKE
		wake_all();
#endif
		up = 1
	}
}

/* late_step: the minute is over.  The note first: a block that is free may be another's. */
inline release_held(n)
{
#ifdef BUG_INTENT_AFTER_FREE
	S(own[n] = FREE);
	d_step { intent[n] = 0 }
#else
	d_step { intent[n] = 0; own[n] = FREE }
#endif
}

/* What the pager knew is lost; writes that it had under way are not. */
inline death()
{
	d_step {
		if :: up -> MET("death") :: else fi;
		deaths++;
		up = 0;
		if :: wr == FLIGHT -> late[wb] = 1 :: else fi;
		if :: mw == FLIGHT -> late[mb] = 1 :: else fi;
		for (k : 0 .. NB - 1) {
			if
			:: own[k] != OTHER ->
				own[k] = FREE;
				if :: word == V && addr == k :: else -> blk[k] = ALIEN fi
			:: else
			fi
		}
		for (k : 0 .. NV - 1) { parked[k] = 0 }
		k = 0; b = 0;
		st = HOLE; mark = 0; zap = 0;
		wr = IDLE; wb = 0; wval = NONE;
		pagein_end(); mw = IDLE; mb = 0
	}
}

#ifdef LIVE
/* turn() of worker.c: events first, then what must be done, then what may be */
#define EVENT (v[0] == PENDING || removes == 1 || given == 1)
#define DUE (EVENT || zapped || \
	      rd == OK || rd == FAIL || rd == AGAIN || wr > FLIGHT || mw > FLIGHT || \
	      (parked[0] && !changing))
#else
#define EVENT false
#define DUE  false
#endif

proctype pager()
{
	byte b, k;

boot:	recover();
end:	do
	:: MAY_DIE -> goto dead
	/* fault_events */
	:: d_step { v[0] == PENDING -> v[0] = READ; serve(0) }
#if NV > 1
	:: d_step { v[1] == PENDING -> v[1] = READ; serve(1) }
#endif
	/* the VMM's thread goes on as soon as it is read */
	:: atomic { removes == 1 -> S(removes = 2) }; serve_remove()
	:: atomic { given == 1 -> S(given = 2) }; serve_remove()
	/* fault_retry */
	:: d_step { !EVENT && parked[0] && !changing -> serve(0) }
#if NV > 1
	:: d_step { !EVENT && parked[1] && !changing -> serve(1) }
#endif
	/* on_read, pagein_retry */
	:: !EVENT && rd == OK && moving -> move_filled()
	:: !EVENT && rd == OK && !moving && !(waiter && !dropped && changing) -> place()
	:: d_step { !EVENT && rd == FAIL && moving -> moving = 0 }
	:: d_step { !EVENT && rd == FAIL && !moving && !again -> again = 1; rd = AGAIN }
	:: !EVENT && rd == FAIL && !moving && again -> give_up_read()
	:: !EVENT && rd == AGAIN && dropped -> place_dropped()	/* pagein_discard */
	:: d_step { !EVENT && rd == AGAIN && !dropped -> rd = FLIGHT }
	:: !EVENT && mw != IDLE && moving && waiter && !dropped && !changing -> place_waiting()
	:: !EVENT && wr > FLIGHT -> on_write()
	:: !EVENT && mw > FLIGHT -> on_moved()
	/* hands_zapped */
	:: d_step { !EVENT && zapped -> MET("zapped"); zapped = 0; zap = 0;
		if :: mark && st == ACTIVE -> st = INACTIVE :: else fi; mark = 0 }
	/* send_zap: for this page, or for neighbours on both sides of it */
	:: d_step { !DUE && !zap && st == ACTIVE -> zap = 1; asked = 1; mark = 1 }
#ifndef LIVE
	:: d_step { !zap && st != ACTIVE -> zap = 1; asked = 1 }
#endif
	/* step_back_hand; a page with a write in flight is passed over */
	:: !DUE && st == INACTIVE && (word == 0 || word == K) && wr == IDLE -> page_out()
	/* kept_step, kept_reclaim; a fault that is a write */
	:: d_step { !DUE && word == K -> kept_drop() }
	/* guest in, read-ahead */
	:: d_step { !DUE && st == SWAPPED && rd == IDLE -> pagein_begin() }
	/* move_step */
	:: d_step { !DUE && st == SWAPPED && rd == IDLE && mw == IDLE ->
		pagein_begin(); moving = 1 }
	/* drum_release_held */
	:: !DUE && own[0] == HELD && !late[0] -> release_held(0)
	:: !DUE && own[1] == HELD && !late[1] -> release_held(1)
#if NB > 2
	:: !DUE && own[2] == HELD && !late[2] -> release_held(2)
#endif
	od;
dead:	death();
	goto boot
}

/*
 * At every moment: were the pager to die now, the next one would find the
 * guest's page.  And no word names a block that is another's.
 */
#define FOUND (mem != NONE -> mem : (word == V -> blk[addr] : ZERO))
#define RIGHT (FOUND == GOOD || (FOUND == ZERO && zok) || (FOUND == OLD && OLD_IS_RIGHT) || orphan)
#ifdef STRICT_DISCARD
#define OLD_IS_RIGHT false
#else
#define OLD_IS_RIGHT any
#endif

proctype monitor()
{
	do
	:: atomic { !RIGHT -> assert(false) }
	:: atomic { word != 0 && own[addr] == OTHER -> assert(false) }
	od
}

init {
	atomic {
		run toucher(0);
#if NV > 1
		run toucher(1);
#endif
		run balloon(); run keeper(); run disk(); run pager();
#ifndef LIVE
		run dma(); run others(); run monitor()
#endif
	}
}

#ifdef LIVE
ltl woken { [] (v[0] != RUN -> <> (v[0] == RUN)) }
#endif
