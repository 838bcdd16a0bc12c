// The emulated device: memory whose every access is checked, and blocks run as fibres.
//
// 1. Device memory is one reserved range. Each byte has two shadow words: the operation that wrote
//    it last, and the set of operations that read it since.
// 2. An operation (copy, launch, allocation, free, decompression) has a place in its stream and a
//    vector clock: what it is ordered after. An access is legal if the byte is allocated, was
//    written, and every conflicting operation before it is inside the clock.
// 3. Kernels are compiled with -fsanitize=kernel-address, whose hooks (__asan_load4_noabort, ...)
//    are defined here; other operations call emu_access. A violation ends the launch at once.
// 4. A block is run thread by thread, each on its own stack, switching at barriers only; the order
//    of threads and blocks comes from a seed.
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <unordered_map>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
constexpr bool kTraced = false;  // what kernels write is not known here
#else
constexpr bool kTraced = true;
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#include "cuda_shim.h"

Dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

// ---- memory and its history -------------------------------------------------------------------

enum Kind : int32_t { kWork = 0, kAlloc = 1, kFree = 2 };
enum Mode : int32_t { kRead = 0, kWrite = 1, kAtomic = 2 };
enum Fault : int32_t {
    kNone = 0,
    kOutside = 1,        // no allocation there
    kFreed = 2,
    kUninitialised = 3,
    kRaceWrite = 4,      // an unordered earlier write
    kRaceRead = 5,       // a write over what an unordered operation read
    kHostMemory = 6,     // a kernel touches memory that is not the device's
    kBarrier = 7,        // threads of a warp or block at different barriers
    kAlignment = 8,
};

struct Operation {
    int32_t stream;
    int64_t seq;
    int32_t kind;
};

struct Violation {
    int32_t fault, mode;
    uint64_t address, bytes;
    uint32_t other;  // the operation it conflicts with, if any
    uint32_t thread, block;
};

constexpr uint32_t kAtomicBit = 0x80000000u;
constexpr uint32_t kBad = 0xffffffffu;

uint8_t* arena = nullptr;
uint64_t arena_size = 0;
uint32_t* writers = nullptr;
uint32_t* readers = nullptr;
std::vector<Operation> operations(1);
std::vector<std::vector<uint32_t>> reader_sets(1);
std::map<std::vector<uint32_t>, uint32_t> reader_set_ids;

uint32_t current = 0;
std::vector<int64_t> clock_now;
std::unordered_map<uint32_t, uint32_t> joined;  // reader set -> the set with `current` added
uint32_t ordered_writer[3], ordered_set = 0, joined_from = kBad, joined_to = 0;
Violation violation;

bool ordered(uint32_t op) {
    const Operation& o = operations[op];
    return op == current ||
           ((size_t)o.stream < clock_now.size() && clock_now[(size_t)o.stream] >= o.seq);
}

uint32_t unordered_reader(uint32_t set) {
    for (uint32_t op : reader_sets[set])
        if (!ordered(op)) return op;
    return 0;
}

// The set with the current operation added; what it is ordered after is implied by it.
uint32_t join_readers(uint32_t set) {
    if (set == joined_from) return joined_to;
    auto found = joined.find(set);
    if (found == joined.end()) {
        std::vector<uint32_t> members;
        for (uint32_t op : reader_sets[set])
            if (op != current && !ordered(op)) members.push_back(op);
        members.push_back(current);
        auto id = reader_set_ids.emplace(members, (uint32_t)reader_sets.size());
        if (id.second) reader_sets.push_back(members);
        found = joined.emplace(set, id.first->second).first;
    }
    joined_from = set;
    joined_to = found->second;
    return joined_to;
}

int32_t fail(Fault fault, int32_t mode, uint64_t address, uint64_t bytes, uint32_t other) {
    if (violation.fault == kNone) {
        violation = {fault, mode, address, bytes, other, threadIdx.x, blockIdx.x};
    }
    return fault;
}

int32_t access(uint64_t offset, uint64_t bytes, int32_t mode, bool strict) {
    const uint64_t address = (uint64_t)arena + offset;
    if (bytes > arena_size - offset) return fail(kOutside, mode, address, bytes, 0);
    const int32_t kind = operations[current].kind;
    for (uint64_t b = offset; b < offset + bytes; ++b) {
        const uint32_t word = writers[b], writer = word & ~kAtomicBit;
        if (word == 0 || word != ordered_writer[mode]) {
            if (word == 0) {
                if (kind != kAlloc) return fail(kOutside, mode, address, bytes, 0);
            } else {
                const int32_t wrote = operations[writer].kind;
                const bool both_atomic = mode == kAtomic && (word & kAtomicBit);
                if (!both_atomic && !ordered(writer))
                    return fail(wrote == kFree ? kFreed : kRaceWrite, mode, address, bytes, writer);
                if (wrote == kFree && kind != kAlloc)
                    return fail(kFreed, mode, address, bytes, writer);
                if (wrote == kAlloc && mode != kWrite && strict && kTraced)
                    return fail(kUninitialised, mode, address, bytes, writer);
                if (mode == kRead && (word & kAtomicBit)) {
                    const uint32_t other = unordered_reader(readers[b]);
                    if (other) return fail(kRaceWrite, mode, address, bytes, other);
                } else if (mode == kWrite || wrote != kAlloc) {
                    ordered_writer[mode] = word;
                }
            }
        }
        const uint32_t set = readers[b];
        if (mode == kRead) {
            readers[b] = join_readers(set);
        } else if (mode == kAtomic) {
            if (!(word & kAtomicBit) && set) {
                const uint32_t other = unordered_reader(set);
                if (other) return fail(kRaceRead, mode, address, bytes, other);
            }
            writers[b] = current | kAtomicBit;
            readers[b] = join_readers(word & kAtomicBit ? set : 0);
        } else {
            if (set && set != ordered_set) {
                const uint32_t other = unordered_reader(set);
                if (other) return fail(kRaceRead, mode, address, bytes, other);
                ordered_set = set;
            }
            writers[b] = current;
            readers[b] = 0;
        }
    }
    return kNone;
}

// ---- fibres -----------------------------------------------------------------------------------

constexpr size_t kStack = 64 * 1024;
constexpr unsigned kMaxThreads = 1024;
enum State : uint8_t { kReady, kAtWarp, kAtBlock, kDone };

uint8_t* stacks = nullptr;
State state[kMaxThreads];
uint64_t lane_value[kMaxThreads];
unsigned running = 0;
bool aborted = false, launching = false;
void (*kernel_entry)(void**) = nullptr;
constexpr unsigned kMaxArguments = 64;
uint64_t argument_words[kMaxArguments];
void* kernel_args[kMaxArguments];
uint64_t module_low = 0, module_high = 0;

#if defined(__x86_64__)
extern "C" void emu_switch(void** save, void* load);
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch,@function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch,.-emu_switch
)");
void* fibre_sp[kMaxThreads];
void* scheduler_sp;
void to_scheduler() { emu_switch(&fibre_sp[running], scheduler_sp); }
void to_fibre(unsigned t) { emu_switch(&scheduler_sp, fibre_sp[t]); }
#else
ucontext_t fibre_context[kMaxThreads], scheduler_context;
void to_scheduler() { swapcontext(&fibre_context[running], &scheduler_context); }
void to_fibre(unsigned t) { swapcontext(&scheduler_context, &fibre_context[t]); }
#endif

void fibre_main() {
    kernel_entry(kernel_args);
    state[running] = kDone;
    to_scheduler();
    std::abort();  // a finished thread is never resumed
}

void start_fibre(unsigned t) {
    uint8_t* top = stacks + (size_t)(t + 1) * kStack;
    state[t] = kReady;
#if defined(__x86_64__)
    // As if emu_switch had been called: six saved registers, the entry, a return address.
    void** sp = (void**)top - 1;
    *sp = nullptr;
    *--sp = (void*)fibre_main;
    for (int i = 0; i < 6; ++i) *--sp = nullptr;
    fibre_sp[t] = sp;
#else
    getcontext(&fibre_context[t]);
    fibre_context[t].uc_stack.ss_sp = top - kStack;
    fibre_context[t].uc_stack.ss_size = kStack;
    fibre_context[t].uc_link = nullptr;
    makecontext(&fibre_context[t], fibre_main, 0);
#endif
}

void resume(unsigned t) {
    running = t;
    threadIdx = {t, 0, 0};
    to_fibre(t);
}

[[noreturn]] void leave_launch() {
    aborted = true;
    to_scheduler();
    std::abort();
}

bool wait_at(State where) {
    state[running] = where;
    to_scheduler();
    return !aborted;
}

// Run one block; false when a violation ended it.
bool run_block(unsigned threads, std::minstd_rand& random) {
    const unsigned warps = (threads + 31) / 32;
    for (unsigned t = 0; t < threads; ++t) start_fibre(t);
    const bool backwards = random() & 1u;
    const unsigned rotate = random() % (warps ? warps : 1);
    for (;;) {
        unsigned done = 0, at_block = 0;
        for (unsigned i = 0; i < warps; ++i) {
            const unsigned first = (i + rotate) % warps * 32;
            const unsigned last = first + 32 < threads ? first + 32 : threads;
            for (;;) {
                unsigned at_warp = 0;
                for (unsigned k = first; k < last; ++k) {
                    const unsigned t = backwards ? last - 1 - (k - first) : k;
                    if (state[t] != kReady) continue;
                    resume(t);
                    if (aborted) return false;
                }
                for (unsigned t = first; t < last; ++t) at_warp += state[t] == kAtWarp;
                if (at_warp == 0) break;
                if (at_warp != last - first) {  // full masks only: see emu_syncwarp
                    fail(kBarrier, kRead, 0, 0, 0);
                    return false;
                }
                for (unsigned t = first; t < last; ++t) state[t] = kReady;
            }
        }
        for (unsigned t = 0; t < threads; ++t) {
            done += state[t] == kDone;
            at_block += state[t] == kAtBlock;
        }
        if (done == threads) return true;
        if (at_block != threads) {
            fail(kBarrier, kRead, 0, 0, 0);
            return false;
        }
        for (unsigned t = 0; t < threads; ++t) state[t] = kReady;
    }
}

inline void hook(uint64_t address, uint64_t bytes, int32_t mode) {
    if (!launching) return;
    if (bytes <= 16 && bytes > 1 && (bytes & (bytes - 1)) == 0 && (address & (bytes - 1))) {
        fail(kAlignment, mode, address, bytes, 0);
        leave_launch();
    }
    const uint64_t offset = address - (uint64_t)arena;
    if (offset < arena_size) {
        if (access(offset, bytes, mode, true)) leave_launch();
        return;
    }
    const uint64_t in_stacks = address - (uint64_t)stacks;
    if (in_stacks < kMaxThreads * kStack) return;
    if (address >= module_low && address < module_high) return;
    fail(kHostMemory, mode, address, bytes, 0);
    leave_launch();
}

}  // namespace

extern "C" {

// Weak: a build without kernels, or without shared memory, has no such section.
extern char __start_cuzarr_shared[] __attribute__((weak));
extern char __stop_cuzarr_shared[] __attribute__((weak));
extern char __ehdr_start[] __attribute__((weak, visibility("hidden")));
extern char _end[] __attribute__((weak, visibility("hidden")));

void emu_syncthreads() {
    if (!wait_at(kAtBlock)) leave_launch();
}

void emu_syncwarp(unsigned mask) {
    if (mask != 0xffffffffu) {
        fail(kBarrier, kRead, 0, 0, 0);
        leave_launch();
    }
    if (!wait_at(kAtWarp)) leave_launch();
}

unsigned emu_lane() { return running % 32; }

uint64_t emu_exchange(unsigned mask, uint64_t value, unsigned source_lane) {
    const unsigned self = running;
    lane_value[self] = value;
    emu_syncwarp(mask);
    const uint64_t result = lane_value[self / 32 * 32 + source_lane];
    emu_syncwarp(mask);
    return result;
}

unsigned emu_ballot(unsigned mask, int predicate) {
    const unsigned self = running;
    lane_value[self] = predicate != 0;
    emu_syncwarp(mask);
    unsigned result = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
        result |= (unsigned)lane_value[self / 32 * 32 + lane] << lane;
    emu_syncwarp(mask);
    return result;
}

void emu_atomic(const void* address, unsigned bytes) { hook((uint64_t)address, bytes, kAtomic); }

#define CUZARR_HOOK(n)                                                                        \
    void __asan_load##n##_noabort(uint64_t address) { hook(address, n, kRead); }              \
    void __asan_store##n##_noabort(uint64_t address) { hook(address, n, kWrite); }
#if !defined(__SANITIZE_ADDRESS__)
CUZARR_HOOK(1)
CUZARR_HOOK(2)
CUZARR_HOOK(4)
CUZARR_HOOK(8)
CUZARR_HOOK(16)
void __asan_loadN_noabort(uint64_t address, uint64_t bytes) { hook(address, bytes, kRead); }
void __asan_storeN_noabort(uint64_t address, uint64_t bytes) { hook(address, bytes, kWrite); }
void __asan_handle_no_return() {}
void __asan_before_dynamic_init(const char*) {}
void __asan_after_dynamic_init() {}
#endif

// ---- called from Python -----------------------------------------------------------------------

// Reserve the device's memory once; returns its first address, 0 where the system refuses.
uint64_t emu_reserve(uint64_t bytes) {
    if (arena) return (uint64_t)arena;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, rw = PROT_READ | PROT_WRITE;
    void* memory = mmap(nullptr, bytes, rw, flags, -1, 0);
    void* w = mmap(nullptr, bytes * 4, rw, flags, -1, 0);
    void* r = mmap(nullptr, bytes * 4, rw, flags, -1, 0);
    void* s = mmap(nullptr, kMaxThreads * kStack, rw, flags, -1, 0);
    if (memory == MAP_FAILED || w == MAP_FAILED || r == MAP_FAILED || s == MAP_FAILED) return 0;
    arena = (uint8_t*)memory;
    writers = (uint32_t*)w;
    readers = (uint32_t*)r;
    stacks = (uint8_t*)s;
    arena_size = bytes;
    module_low = (uint64_t)__ehdr_start;
    module_high = (uint64_t)_end;
    ASAN_POISON_MEMORY_REGION(arena, arena_size);
    return (uint64_t)arena;
}

// Forget everything in the first `used` bytes, and all operations.
void emu_reset(uint64_t used) {
    if (!arena) return;
    ASAN_UNPOISON_MEMORY_REGION(arena, arena_size);
    if (used <= 1 << 20) {  // pages that small tests will use again soon
        std::memset(writers, 0, used * 4);
        std::memset(readers, 0, used * 4);
    } else {
        madvise(arena, used, MADV_DONTNEED);
        madvise(writers, used * 4, MADV_DONTNEED);
        madvise(readers, used * 4, MADV_DONTNEED);
    }
    ASAN_POISON_MEMORY_REGION(arena, arena_size);
    operations.assign(1, Operation{});
    reader_sets.assign(1, {});
    reader_set_ids.clear();
    current = 0;
}

// Begin an operation: its place in its stream, and how far into every stream it is ordered.
uint32_t emu_begin(int32_t stream, int64_t seq, int32_t kind, const int64_t* clock, int64_t streams) {
    operations.push_back({stream, seq, kind});
    current = (uint32_t)operations.size() - 1;
    clock_now.assign(clock, clock + streams);
    joined.clear();
    ordered_writer[kRead] = ordered_writer[kWrite] = ordered_writer[kAtomic] = ordered_set = 0;
    joined_from = kBad;
    violation = Violation{};
    aborted = false;
    threadIdx = blockIdx = {0, 0, 0};
    return current;
}

int32_t emu_access(uint64_t address, uint64_t bytes, int32_t mode, int32_t strict) {
    if (bytes == 0) return kNone;
    const uint64_t offset = address - (uint64_t)arena;
    if (offset >= arena_size) return fail(kOutside, mode, address, bytes, 0);
    return access(offset, bytes, mode, strict != 0);
}

// Make a range accessible to AddressSanitizer builds, or not.
void emu_expose(uint64_t address, uint64_t bytes, int32_t on) {
    if (on) ASAN_UNPOISON_MEMORY_REGION((void*)address, bytes);
    else ASAN_POISON_MEMORY_REGION((void*)address, bytes);
}

void emu_violation(Violation* out) { *out = violation; }

// Run a kernel over its grid; 0, or the fault. Arguments come as words of eight bytes.
int32_t emu_launch(void (*entry)(void**), const uint64_t* words, uint32_t count, uint32_t grid,
                   uint32_t block, uint32_t seed) {
    if (block == 0 || block > kMaxThreads || grid == 0 || count > kMaxArguments)
        return fail(kBarrier, kRead, 0, 0, 0);
    std::minstd_rand random(seed + 1);
    kernel_entry = entry;
    for (uint32_t i = 0; i < count; ++i) {
        argument_words[i] = words[i];
        kernel_args[i] = &argument_words[i];
    }
    gridDim = {grid, 1, 1};
    blockDim = {block, 1, 1};
    const bool backwards = random() & 1u;
    launching = true;
    bool finished = true;
    for (uint32_t b = 0; b < grid && finished; ++b) {
        blockIdx = {backwards ? grid - 1 - b : b, 0, 0};
        if (__start_cuzarr_shared)
            std::memset(__start_cuzarr_shared, 0xA7,
                        (size_t)(__stop_cuzarr_shared - __start_cuzarr_shared));
        finished = run_block(block, random);
        ASAN_UNPOISON_MEMORY_REGION(stacks, kMaxThreads * kStack);
    }
    launching = false;
    return finished ? (int32_t)kNone : violation.fault;
}
}
