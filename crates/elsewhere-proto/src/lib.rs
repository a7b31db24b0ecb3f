//! What two peers of `elsewhere` say to each other, and what each must remember.
//! Owns: messages, their bytes, the codec of values, all tables of a connection. Must not know: sockets, clocks, threads,
//! Python; bytes and the time come in, bytes and events go out.
//!
//! This page is the specification of the protocol, version 1. It is written from the point of view of the sender, and a
//! second implementation can be written from it alone. The code below it is the first implementation: [`Connection`] is
//! one side of a connection, [`codec`] reads and writes values. `tests/golden/` has every message and value as bytes.
//!
//! # 1. Vocabulary
//!
//! - A **peer** is one end of a connection. Both ends are equal: both may call, both may export objects. "We" is the
//!   sender of a message, "the peer" its receiver.
//! - A **connection** is one ordered, reliable stream of bytes in each direction, with nobody else on it. Who may be at
//!   the other end is decided before the first byte of this protocol.
//! - A **frame** is a header of 32 bytes and a body. A **message** is one frame, or several **chunks**.
//! - A **call** asks the peer to evaluate a path. It runs at most once and ends exactly once. A **post** is a call that
//!   wants no answer. A **stream** is a call whose result is iterated and pushed item by item.
//! - An **object** is whatever a peer holds and the other one may name by an **object id**. For its owner it is an
//!   **export**, for the other side an **import**.
//! - A **lane** is one calling thread or task. A **chain** is everything done on behalf of one outermost call, across
//!   processes.
//! - The **outcome** of a call that failed says what is known of it: `not_started`, `unknown` or `finished`.
//!
//! All integers of headers and fixed layouts are little endian. Lengths are bytes. A field that is **reserved** is sent
//! as 0; where the text says so, another value is a **violation**, else it is not looked at. After a violation a connection
//! is over: the side that found it sends GOAWAY with the reason and ends the stream. It never touches other connections.
//!
//! # 2. Frames
//!
//! ```text
//! offset  size  field
//!      0   u32  length    bytes of body that follow; at most 262,144 (CHUNK_MAX), less for most kinds
//!      4    u8  kind      1..=13; any other is a violation
//!      5    u8  flags     bit 0 MORE: another frame of this message follows
//!                         bit 1 URGENT, bit 2: reserved, unused until later; any bit but MORE is a violation
//!      6   u16  weight    of a CALL: the size of the memory that it names as lent, in units of 65,536 bytes, rounded up,
//!                         at most 65,535; see section 11. Any other frame: another value than 0 is a violation
//!      8   u64  id
//!     16   u64  chain
//!     24   u32  lane
//!     28   u32  number
//! ```
//!
//! | kind | name | id | chain | lane | number | body |
//! |---|---|---|---|---|---|---|
//! | 1 | HELLO | magic | capabilities | 0 | version | map, at most 480 bytes |
//! | 2 | CALL | call | chain | lane | number in its lane | head of 16 bytes, steps |
//! | 3 | REPLY | call | 0 | lane of the call | 0 | one value, or one and nil (section 4) |
//! | 4 | ERROR | call | 0 | lane of the call | 0 | error record |
//! | 5 | CANCEL | call | 0 | 0 | bit 0: interrupt | none |
//! | 6 | RELEASE | 0 | 0 | 0 | entries | entries of 12 bytes |
//! | 7 | ITEMS | call | 0 | lane of the call | items | that many values |
//! | 8 | CREDIT | call, or 0 | 0 or a chain, or bytes of posts | 0 | items, or posts | none |
//! | 9 | PING | any | 0 | 0 | 0 | none |
//! | 10 | PONG | that of the ping | 0 | 0 | 0 | none |
//! | 11 | GOAWAY | last accepted call | 0 | 0 | reason | UTF-8 text, at most 1,024 bytes |
//! | 12 | CLOSE | 0 | 0 | 0 | 0 | none |
//! | 13 | FORGET | 0 | 0 | 0 | entries | entries of 12 bytes |
//!
//! Fields shown as 0 are not looked at. A body longer than its kind allows is a violation, before it is read.
//!
//! ## Chunks
//!
//! A message of CALL, REPLY, ERROR or ITEMS whose body exceeds CHUNK_MAX goes as several frames with the same kind, id,
//! chain, lane, number and weight; all but the last have MORE, and none with MORE is empty. The first chunk of a CALL has its
//! whole head. We may cut anywhere and into smaller chunks. Between the chunks other frames may stand: other messages
//! pass a long one. Three limits:
//!
//! - What must keep its order waits. A CALL does not pass an unfinished CALL of its lane. A REPLY, ERROR or ITEMS does
//!   not pass an unfinished one that answers a call of the same lane.
//! - A RELEASE or CLOSE passes nothing that was there before it, unfinished or not begun. A CANCEL or CREDIT about a call
//!   of ours comes after the last chunk of this call.
//! - The unfinished messages that we have begun have together no more bytes than the longest message that the peer
//!   takes (`max_message` in its HELLO). A receiver treats more as a violation. It keeps bytes as they come and never
//!   allocates by an announced length beyond one frame.
//!
//! Only complete messages are acted upon: a call whose last byte did not arrive has not started and never will.
//!
//! A receiver without memory for a CALL, REPLY or ERROR of several chunks lets go of its bytes, and still reads it to its end: the
//! call is refused with ERROR, or fails where its answer is let go. What such a message offers or names stays as it is until
//! the connection ends. For any other message without memory it ends the connection.
//!
//! # 3. HELLO
//!
//! The first frame in each direction. We send it at once, without waiting for the peer's, and may send other frames
//! right after it. Any other first frame is a violation, and so is a second HELLO.
//!
//! - id: the bytes `ELSEWHER` ([`MAGIC`]). Anything else: not a peer of ours.
//! - number: the protocol version, 1. Both must be equal; a side that sees another version goes away with the reason
//!   VERSION and a text that names both.
//! - chain: capability bits. Unknown bits are not looked at.
//!
//! | bit | name | meaning |
//! |---|---|---|
//! | 0 | CHUNKS | takes messages in chunks; version 1 demands it, a HELLO without it is a violation |
//! | 1 | SERIAL | runs one call at a time, see section 9 |
//! | 2 | BUFFERS | takes memory that is lent and shared, see section 11 |
//! | 3 | RECORDER | notes started and finished calls in shared memory; reserved, unused until later |
//! | 4 | GRANTS | references may be handed on to third peers; reserved, unused until later |
//! | 5 | HEARTBEAT | expects PINGs; reserved, unused until later |
//! | 6 | PICKLE | accepts pickles; reserved, unused until later |
//! | 7 | LANES | runs the calls of each lane one at a time, see section 9 |
//! | 8 | INSTANCES | takes the types 12 and 13 of section 10, since it imports classes and has them made |
//! | 9 | LANE_ENDS | wants to be told of the end of a lane, see section 9 |
//!
//! The body is one map with text keys: `pid` (integer), `python` (text, such as `3.11.7`; empty without an interpreter),
//! `implementation` (text, such as `elsewhere 0.1.0`), `max_message` (integer: the longest message in bytes that we take;
//! absent: 1 GiB). Texts are at most 96 bytes. Unknown keys are ignored, missing ones stand for 0 or empty.
//!
//! # 4. Calls
//!
//! ## Ids and slots
//!
//! The caller chooses the id. Ids are at least 1, never used twice on a connection, and handed out in rising order. The
//! **slot** of an id is its value modulo 1,024. An id may be used only while no call with the same slot is open: from
//! the sending of the CALL until its REPLY or ERROR arrived; ids of busy slots are skipped. A post occupies its slot only
//! until its last byte is in the stream. Which of the free slots is taken is the caller's choice.
//!
//! Because long messages let others pass, ids may *arrive* out of order. The receiver checks, for the first frame of each
//! CALL, that the slot is free and that the id is above the last one that used this slot; else it is a violation. So it
//! needs no memory of old ids beyond one per slot. Ids of the two directions have nothing to do with each other.
//!
//! ## Head and steps
//!
//! ```text
//!      0   u64  target    object id of the receiver's; 0 is its bootstrap object, which is always there
//!      8   u32  deadline  milliseconds that are left when the message is made, rounded up; 0: none
//!     12    u8  want      0 AUTO, 1 VALUE, 2 REFERENCE, 3 NOTHING, 4 STREAM; any other is a violation
//!     13    u8  reserved  another value than 0 is a violation
//!     14   u16  steps     how many steps follow
//! ```
//!
//! Behind it the steps, each an integer value (the op) and its operands as values. The receiver begins with the target and
//! takes one step after another; what the last step gives is the result.
//!
//! | op | name | operands | effect |
//! |---|---|---|---|
//! | 0 | ATTR | name | reads an attribute |
//! | 1 | ITEM | key | looks up an item |
//! | 2 | CALL | a list of arguments and a map of named ones; or one pickle of the tuple (tuple of arguments, dict) | calls it |
//! | 3 | SET_ATTR | name, value | sets an attribute; gives nil |
//! | 4 | DEL_ATTR | name | deletes an attribute; gives nil |
//! | 5 | SET_ITEM | key, value | sets an item; gives nil |
//! | 6 | DEL_ITEM | key | deletes an item; gives nil |
//! | 7 | OPERATE | code (integer), list of operands | performs an [`Operation`] |
//! | 8 | GET_DEFAULT | none | nothing; but where the step just before it finds its attribute, key or index missing, the call fails with the kind MISSING |
//! | 9 | START | value | goes on from this value; what was reached before does not count. Everybody may begin at target 0 with it |
//! | 10 | ANSWER | id (integer) | goes on from the answer that the receiver got to its own call with this id; raises what that call failed with. Everybody may begin at target 0 with it |
//!
//! The codes of operations are those of [`Operation::ALL`], by the names of Python's data model: 0 len, 1 contains,
//! 2 iter, 3 next, 4 str, 5 bool, 6 eq, 7 ne, 8 lt, 9 le, 10 gt, 11 ge, 12 enter, 13 exit, 14 aenter, 15 aexit, 16 hash,
//! 17 dir, 19 neg, 20 pos, 21 abs, 22 invert; from 23 on each operator and its reflected form: 23 add, 24 radd, 25 sub,
//! 27 mul, 29 matmul, 31 truediv, 33 floordiv, 35 mod, 37 divmod, 39 pow, 41 lshift, 43 rshift, 45 and, 47 xor, 49 or,
//! 50 ror; in place: 51 iadd, 52 isub, 53 imul, 54 imatmul, 55 itruediv, 56 ifloordiv, 57 imod, 58 ipow, 59 ilshift,
//! 60 irshift, 61 iand, 62 ixor, 63 ior; 64 int, 65 float, 66 complex, 67 index, 68 round, 69 trunc, 70 floor, 71 ceil,
//! 72 bytes, 73 format, 74 reversed, 75 length_hint; of generators 76 send, 77 throw, 78 close; 79 anext, 80 asend,
//! 81 athrow, 82 aclose, 83 await, 84 aiter. Code 18 is reserved. The operands are those of the operation without the
//! object itself; pow and rpow may have a modulus behind the other operand. An unknown op or code, or operands that do
//! not fit, fail the call; they are no violation.
//!
//! What is wanted of the result: AUTO a copy, or a reference where it cannot be copied. VALUE a copy, or an ERROR of kind
//! RESULT. REFERENCE a reference in any case. NOTHING no answer whatever happens. STREAM items, section 6.
//!
//! ## Order
//!
//! A caller numbers the calls of each lane from 0 on, in the order in which they were made, and sends them in this order.
//! A receiver starts the calls of a lane in the order of arrival. Nothing is promised between lanes. Numbers wrap.
//!
//! ## Chains
//!
//! An outermost call gets a chain id that nobody else uses; a call made while serving a call carries the chain of that
//! one. 0 is no chain. A receiver that waits for an answer in a chain runs a call of the same chain at once, in the place
//! where it waits; otherwise two peers that call each other back would wait for ever.
//!
//! ## Answers
//!
//! Every call but a post is answered exactly once, by REPLY or ERROR, also when it was cancelled. An answer to a call
//! that is not open, or of which not the whole CALL was sent, is a violation; so is a second one. A caller that has given
//! up keeps the slot until the answer comes, and releases whatever a late answer offers.
//!
//! The body of a REPLY is the result. A second value, nil, behind it says that the result is that of a coroutine which
//! the receiver ran to its end: a caller that hands out futures for coroutines hands out a finished one. A receiver of
//! the REPLY that does not care ignores it.
//!
//! # 5. Errors and outcomes
//!
//! The body of an ERROR is a list of at least ten values; a receiver ignores further ones:
//!
//! 1. kind: 0 RAISED (the method raised), 1 ARGUMENT (an argument could not be rebuilt), 2 RESULT (the result cannot be
//!    sent), 3 GONE (the target is not held), 4 CANCELLED, 5 EXPIRED (the deadline passed before it was begun),
//!    6 REFUSED (not allowed), 7 OVERLOADED, 8 MISSING (see GET_DEFAULT), 9 CLOSED (no more calls are accepted),
//!    10 DEADLOCK (running it would close a circle of waits)
//! 2. outcome: 0 `not_started`, 1 `unknown`, 2 `finished`
//! 3. text: the module of the exception's class
//! 4. text: its qualified name
//! 5. list of texts: the names of its builtin base classes, nearest first
//! 6. text: the message
//! 7. text: the traceback
//! 8. what it can be rebuilt from: a pickle, a list of arguments, or nil
//! 9. list of texts: notes
//! 10. the part of an argument or result that could not travel, such as `result[3].lock`: text or nil
//!
//! A record ends behind the last of these parts that says something:
//!
//! 11. true where a coroutine raised which the receiver ran, as the second value of a REPLY says; false otherwise
//! 12. links of the exception: a list of the number of its cause or nil, the number of its context or nil, whether the
//!     context is not to be shown, and the list of the numbers of its members, if it is a group
//! 13. list of related errors: causes, contexts and members, and those of these. Each is a list of eight values: parts 3
//!     to 9, about this error, and its links. Numbers count from 1 in this list; 0 is the exception of the record itself.
//!
//! The traceback holds the frames alone, without what it says and what hangs on it; it is empty where there are none.
//!
//! `not_started` means that the call did not begin and never will, `finished` that it ran to its end, by return or raise.
//! Nobody may say either without knowing it.
//!
//! # 6. Streams and credit
//!
//! A call that wants STREAM is evaluated like any other. The receiver then iterates the result and sends ITEMS: `number`
//! values, at least 1, one after another. It may send only as many items as the caller granted. The caller grants by
//! CREDIT with the id of the call, `number` more items each time, the first right after the CALL; credit adds up, and at
//! any time at most 2³²−1 may be granted and not yet used. The stream ends with REPLY nil when it is exhausted, or with
//! ERROR. A caller that wants no more sends CANCEL; items on their way are thrown away, and their offers released. A
//! stream that was cancelled is ended by the receiver, also without credit.
//!
//! A caller that waits for items inside a chain other than that of the call, and so may keep the receiver waiting in that
//! chain, names it in `chain` of a CREDIT, of 0 items if it grants none. A receiver that waits there goes on with the
//! stream meanwhile, as it does for a stream whose call is of the chain.
//!
//! Items without credit are a violation; so is CREDIT of 0 in no chain, for a call that is no stream, or that was never
//! made. CREDIT for a call that is already answered is legal and ignored: it crossed the answer.
//!
//! # 7. Cancel, deadlines, posts, the window
//!
//! CANCEL asks the peer to give up a call. If it has not begun, it is answered by ERROR CANCELLED, `not_started`. If it
//! runs, it goes on; with the interrupt bit the receiver tries to break it off. Either way it is answered. CANCEL of a call
//! that is already answered is legal and ignored, of an id above the highest that was used a violation. Posts are not
//! cancelled.
//!
//! A deadline is a span, so clocks need not agree. The caller ends the call by itself when it has passed, and sends CANCEL.
//! A receiver that did not begin in time answers ERROR EXPIRED, `not_started`, and passes what is left on to the calls
//! made inside.
//!
//! **Window.** A side makes a call only while it has fewer than 1,024 calls open ([`WINDOW_CALLS`]) and the bytes of
//! their steps, and of the memory by their weight, are below 64 MiB ([`WINDOW_BYTES`]); so one call may exceed the latter.
//! A short call, of less than a 1,024th of that, neither counts for these bytes nor waits for them: what is small goes on
//! beside the largest, however long that takes. The same holds for posts, on their own account, where short ones count: a
//! post counts until the peer says that it is done. It says so by CREDIT with id 0, `number` posts and all of their bytes in
//! `chain`; in a bunch, when a quarter of the window is reached, or beside other frames, so that a few posts wake nobody. A
//! receiver treats more than twice the window as a violation.
//!
//! # 8. Objects and references
//!
//! An object id is chosen by the owner for one connection. It is valid only there, and never used again. 0 is the
//! bootstrap object: it is never offered, never counted, never released.
//!
//! A value may hold a reference (section 10). Those that we **offer** are ours; each offer that we send gives the peer one
//! reference more, the same object may be offered many times. We count what we gave, from before the message is sent;
//! if it is not sent after all we take it back. The peer counts what it got. When it needs some no longer it sends
//! RELEASE: entries of object id (u64) and count (u32, at least 1), each object as often as it likes, but in sum never
//! more than it got; more is a violation. When our count is 0 the peer cannot name the object any more. An offer that
//! crosses the release is counted like any other, so nothing is freed too early.
//!
//! Whoever throws away values unread (a late answer, a call that is refused) releases what they offer, and gives back the
//! memory that they name as lent.
//!
//! A peer may name an object in a message and release it right behind that message. So a release takes effect only when
//! the calls that came before it have been begun, which is when everything that they name has been looked up; and whoever
//! reads the answers to its own calls later than it reads the releases keeps what may be named in them until then.
//! A HOME reference or target that names an object which is not exported is no violation: the call fails with GONE.
//!
//! # 9. The end
//!
//! **CLOSE** says that we make no more calls. It comes after our last call. The peer finishes what it accepted, answers
//! it, and ends; it may still call us until then. A CALL after CLOSE, a second CLOSE, or one amid an unfinished CALL is a
//! violation.
//!
//! **GOAWAY** says that we accept no calls above the id in it: the highest that we have seen. Calls up to this id are
//! accepted even if they are still on their way. Later ones we drop unanswered (and release what they offer); the peer
//! takes them as `not_started` as soon as it reads the GOAWAY, and makes no more calls. Reasons: 0 an orderly end, 1 a
//! violation, 2 no common version, 3 too much to do; others may come. With reason 1 or 2 the stream ends at once behind it.
//!
//! **PING** is answered by PONG with the same id as soon as possible, without waiting for calls. A PONG without PING is a
//! violation, and so are more than 1,024 PINGs whose PONGs cannot leave.
//!
//! When the stream has ended, by whatever cause:
//!
//! - *Calls of ours.* First everything that arrived is taken in; an answer that arrived counts. Each call that is still
//!   open ends once, with the outcome below.
//! - *Calls of the peer.* Those not begun are dropped, unless the peer sent CLOSE before: then they are finished. Answers
//!   go nowhere.
//! - *Exports.* The peer holds nothing any more; every object is released.
//! - *Imports.* Each use fails from now on; nothing is sent for them.
//! - *Ids.* All are void. A new connection begins anew.
//!
//! **Outcome of a lost call.**
//!
//! 1. Its last byte was not handed to the stream, or its id is above that of a GOAWAY: `not_started`.
//! 2. The peer is SERIAL and its stream was read to its very end (so not: this side gave it up, or it broke):
//!    let *m* be the first call, in the order of the stream, that is not answered and behind all that were answered.
//!    Every call behind *m* is `not_started`. Not counted as answered are answers that say `not_started`; neither counted
//!    nor taken as *m* are streams and nested calls. A nested call is one whose chain came in from outside. No claim is
//!    made for it, nor for a call with the chain of an earlier one that is open.
//! 3. The peer is LANES and its stream was read to its very end: rule 2 holds within each lane, for the first call that is
//!    not answered.
//! 4. Otherwise: `unknown`.
//!
//! **SERIAL** promises what rule 2 needs: we run one call at a time, in the order in which they arrived completely; we hand
//! each answer to the stream, to its last byte, before we begin the next; only calls of a chain that we wait in run in
//! between; streams produce items between calls, and in the midst of one if they are waited for in a chain that we wait in;
//! and we begin no call after we ended our side of the stream. So who calls reads the answers, whether or not somebody waits
//! for them: as long as one is not taken, nothing behind it begins.
//!
//! **LANES** promises the same for the calls of each lane by themselves, since each lane has a thread. A lane that ends (its
//! thread or task does) is told by its last call: a post of `end_lane()` to the bootstrap object, for the thread to end.
//! **LANE_ENDS** asks for that post alone: we pass calls on to third peers, each lane's in a lane of its own, which ends with it.
//!
//! # 10. Values
//!
//! A value is a subset of MessagePack. A writer uses the shortest form, a reader accepts every form of the subset.
//!
//! | value | first byte |
//! |---|---|
//! | nil, false, true | `c0`, `c2`, `c3` |
//! | integer of −2⁶³ to 2⁶⁴−1 | `00`–`7f`, `e0`–`ff`, `cc`–`cf`, `d0`–`d3`; one of 0 or above in the unsigned forms |
//! | float | `cb` only, 64 bits |
//! | text | `a0`–`bf`, `d9`, `da`, `db`; UTF-8, so no lone surrogates |
//! | bytes | `c4`, `c5`, `c6` |
//! | list | `90`–`9f`, `dc`, `dd` |
//! | map | `80`–`8f`, `de`, `df`; any values as keys, in the order of the sender |
//! | extension | `d4`–`d8` (1, 2, 4, 8, 16 bytes), `c7`, `c8`, `c9`, then the type, then the payload |
//!
//! As in MessagePack, the numbers and lengths in these forms are big endian. The payloads of extensions are ours and
//! little endian. Extensions:
//!
//! | type | name | payload | values that follow |
//! |---|---|---|---|
//! | 1 | tuple | count: u8 up to 255, else u32 | that many |
//! | 2 | set | as tuple | that many |
//! | 3 | frozen set | as tuple | that many |
//! | 4 | big integer | two's complement, as short as possible, at most 4,096 bytes; for what needs more than 64 bits | 0 |
//! | 5 | complex | two floats of 64 bits | 0 |
//! | 6 | byte array | the bytes | 0 |
//! | 7 | memory view | u8 read-only (0 or 1), u8 dimensions (at most 64), u8 length of format, format, u64 for each dimension, content in C order without gaps | 0 |
//! | 8 | reference | below | below |
//! | 9 | pickle | u8 flavour (0 pickle, 1 cloudpickle), u16 references, u16 buffers | that many references, that many buffers, then the pickle: bytes, or a buffer of the form 1 |
//! | 10 | buffer | section 11 | 0 |
//! | 11 | array | u8 type code of Python's `array`, then its items, little endian | 0 |
//! | 12 | instance | as tuple | two that say which class, then for each attribute its name, a text, and the value |
//! | 13 | array of numpy's kind | u8 order (0 the last index changes fastest, 1 the first), u8 zeros (below 16), then as a memory view, but so many zeros before its content, which is in that order, little endian. A sender has long content begin at a multiple of 16 in the body of the message, head of the call included | 0 |
//!
//! The content of a view, also of one in a buffer, is empty where a dimension is 0, and else divisible by the product of its dimensions. Buffers of a
//! pickle are those of pickle protocol 5 in their order: bytes where they are read-only, byte arrays where they are
//! writable, or buffers of the form 0. References in a pickle are numbered from 0; the pickle has each as a call of the
//! global `elsewhere._core._reference` with its number. Pickles are in a protocol that the Python of the peer's HELLO reads.
//!
//! An *instance* is an object that consists of its class and the attributes in its `__dict__`, in their order, and that
//! pickle would copy by making it with the class's own `__new__` and no arguments. The receiver makes it so: where its class
//! has a `__setstate__`, by that. It is written only to a side with INSTANCES, which is therefore able to import classes.
//! Its class is said by its module and its qualified name, both text, where the sender finds it so and not in `__main__`; else
//! by a text that is the same for all definitions of the class, and the definition: bytes, a pickle of the class by cloudpickle.
//! Of two definitions that are the same bytes the receiver may take the earlier.
//!
//! Nested values stand behind the head of their container; a value without them is complete with its payload. References:
//!
//! | first byte | name | rest of the payload | values that follow |
//! |---|---|---|---|
//! | 0 | offer | u64 object id (not 0), u32 class id, u8 described (0 or 1) | the descriptor, if described |
//! | 1 | home | u64 object id of the receiver's | 0 |
//! | 2 | place | u64 object id of the receiver's, u16 steps, u32 values | that many: ops and operands, as in a call |
//! | 3 | receiver | none | 0 |
//! | 4 | promise | u64 call id | 0 |
//! | 5 | grant | reserved, unused until later | |
//!
//! An *offer* is an object of the sender. Its class id is the sender's number for the class on this connection; the first
//! offer of a class carries a descriptor: a list of module (text), qualified name (text), flags (integer, reserved for
//! the sides to agree on), names of its coroutine methods (list of texts). *Home* is an object of the receiver, which
//! puts in the object itself; to a host that its owner forked, id 2^62 + n is the n-th object that it has by the fork, for
//! the owner alone. *Place* is a path from one, which the receiver evaluates when it begins the call.
//! *Receiver*, in a reply, is the very object that the call was made on. *Promise*, in a call, is the answer to an earlier
//! call of the same lane to the same SERIAL peer, from outside all chains: the value as the caller would pass it on if it
//! had it, so an object that was answered by reference is that object, and a copy is a copy. The receiver need not keep
//! answers: it may ask for them by ANSWER, because the caller keeps what it promised until the call that names it is
//! answered. If the earlier call failed, the later one fails with the same error, `not_started`.
//!
//! Limits, for both sides: values nest at most 64 deep (a container within 64 others may only be empty); a container
//! announces at most as many values as bytes are left behind it; a message has at most `max_message` bytes. Nothing
//! aliases: what occurs twice is written twice.
//!
//! A body that cannot be read is no violation, for it may be read much later and by someone else: a call fails with
//! ARGUMENT, an answer with an error on the side of the caller, `finished`.
//!
//! # 11. Memory
//!
//! Where both sides have BUFFERS and their transport can pass memory, a value may name memory instead of holding bytes. How
//! memory gets to the other side is the transport's matter; it is there before the message that names it can be read. To name
//! what was never handed over is a violation. The payload of a buffer:
//!
//! ```text
//!      0    u8  place      0 lent, 1 shared
//!      1    u8  read-only  0 or 1
//!      2    u8  form       0 buffer of a pickle, 1 bytes, 2 byte array, 3 memory view, 4 array, 5 array of numpy's kind
//!      3   u64  first      lent: slot, at most 1,023; shared: the sender's number for the memory
//!     11   u64  second     lent: which loan of the slot; shared: how far from its beginning, in bytes
//!     19   u64  length     in bytes
//!     27        view: u8 dimensions, u8 length of format, format, u64 for each dimension; array: u8 type code;
//!           array of numpy's kind: u8 order (0 the last index changes fastest, 1 the first), then as for a view
//! ```
//!
//! **Lent** memory is filled by the sender and then the receiver's alone, until it gives it back, which is the transport's
//! matter as well. Each loan is named in one message, once, and loans of a slot are numbered in rising order, not by 0. The
//! message names it from its beginning. Whoever throws away values unread gives back what they name as lent. What a CALL
//! names so counts for the window by its weight.
//!
//! Memory that was lent read-only may be passed on, to the lender and to others, as shared memory. The receiver then
//! sends entry 2 of FORGET for the loan, and never gives it back.
//!
//! **Shared** memory goes on being used by both sides; it is of the form 0, 3 or 5. It may be named as often as we like under
//! the number that we gave it, and numbers are not used again.
//!
//! **FORGET** has entries of what (u32) and a number (u64):
//!
//! | what | number | meaning |
//! |---|---|---|
//! | 0 | slot, and the loan times 2³² | we do not lend this memory again after this loan, which was given back |
//! | 1 | our number | we do not name this shared memory again |
//! | 2 | slot, and the loan times 2³² | we could not map this memory of yours, or keep it for good: the loan is over, do not lend this memory again |
//! | 3 | your number | we could not map this shared memory of yours; hand it over again to name it again |
//!
//! After 0 and 1 the receiver keeps what it uses, and lets go of what it kept for the case that it is named again. An entry 1
//! passes nothing that was there before it, and by it the receiver takes all that was handed over: memory has no number 0, so
//! an entry 1 of that has it do this and nothing else. FORGET to a side without BUFFERS is a violation, as is an unknown what.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod codec;
mod connection;
mod ids;
mod message;
mod violation;

pub use codec::{Limits, home_references, lent_buffers, offered_references};
pub use connection::body::{Content, Inset};
pub use connection::event::{Event, IncomingCall};
pub use connection::{Config, Connection, State, Stats, WINDOW_BYTES, WINDOW_CALLS};
pub use ids::{CallId, ChainId, LaneId, ObjectId, Timestamp};
pub use message::call::{CallHead, Op, Want};
pub use message::error_record::{ErrorKind, ErrorRecord, Outcome};
pub use message::forget::Forgotten;
pub use message::frame::{CHUNK_MAX, HEADER_LEN, Kind, WEIGHT_UNIT, weight_of};
pub use message::hello::{Capabilities, HELLO_MAX, Hello, MAGIC, VERSION};
pub use message::operation::Operation;
pub use message::raised::Raised;
pub use message::related::{Links, RelatedError};
pub use violation::{AnswerRefused, CallRefused, Reason, UnknownExport, Violation};
