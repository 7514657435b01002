#include "bytecode.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* --- reading ------------------------------------------------------------------------------------------------- */

/* The dump of one function and those nested in it. `wrong` says what the first error was; from then on reads give 0. */
typedef struct dump {
    const unsigned char *p, *end;
    const char *wrong;
    char *types;         /* scratch: of the constants of the function being read */
    struct jumps *jumps; /* scratch: for each of its instructions */
    int depth;
} dump;

/* The jumps to an instruction: 0, or 1 + the first that jumps forward, 1 + the last that jumps back. */
typedef struct jumps {
    uint32_t forward, back;
} jumps;

#define DEEPEST 200 /* Lua's parser nests functions no deeper */

static bool fail(dump *D, const char *wrong)
{
    if (!D->wrong) D->wrong = wrong;
    D->p = D->end;
    return false;
}

static size_t remaining(const dump *D) { return (size_t)(D->end - D->p); }

static int read_byte(dump *D)
{
    if (D->p == D->end) return fail(D, "it ends too early");
    return *D->p++;
}

static const unsigned char *read_bytes(dump *D, size_t n)
{
    const unsigned char *p = D->p;
    if (n > remaining(D)) {
        fail(D, "it ends too early");
        return NULL;
    }
    D->p += n;
    return p;
}

/* Lua's varint: seven bits a byte, the highest first, the eighth set on the last. */
static size_t read_size(dump *D, size_t limit)
{
    size_t x = 0;
    for (;;) {
        int byte = read_byte(D);
        if (D->wrong) return 0;
        if (x > limit >> 7) return (size_t)fail(D, "a number is too large");
        x = x << 7 | (size_t)(byte & 0x7F);
        if (byte & 0x80) return x;
    }
}

static int read_int(dump *D) { return (int)read_size(D, INT_MAX >> 1); }

/* A count of things of at least `size` bytes each. */
static int read_count(dump *D, size_t size)
{
    size_t n = read_size(D, INT_MAX >> 1);
    if (n > remaining(D) / size) return fail(D, "a count is too large");
    return (int)n;
}

/* The length of a string, or -1 when there is none. */
static ptrdiff_t read_string(dump *D)
{
    size_t n = read_size(D, PTRDIFF_MAX);
    if (n == 0) return -1;
    read_bytes(D, n - 1);
    return (ptrdiff_t)(n - 1);
}

/* --- instructions -------------------------------------------------------------------------------------------- */

enum {
    OP_LOADK = 3, OP_LOADKX = 4, OP_LFALSESKIP = 6, OP_LOADNIL = 8, OP_NEWTABLE = 19, OP_SELF = 20, OP_MMBIN = 46,
    OP_MMBINI = 47, OP_MMBINK = 48, OP_CONCAT = 53, OP_CLOSE = 54, OP_TBC = 55, OP_JMP = 56, OP_CALL = 68,
    OP_TAILCALL = 69, OP_RETURN = 70, OP_RETURN0 = 71, OP_RETURN1 = 72, OP_FORLOOP = 73, OP_FORPREP = 74,
    OP_TFORPREP = 75, OP_TFORCALL = 76, OP_TFORLOOP = 77, OP_SETLIST = 78, OP_CLOSURE = 79, OP_VARARG = 80,
    OP_VARARGPREP = 81, OP_EXTRAARG = 82, OPCODES = 83
};

/* What an instruction's operands are, and what must follow it. A, B, C:
     .  nothing to check     =  register that is written     r  register       u  upvalue
     k  constant             n  number constant              i  integer constant
     s  short string constant                                x  register, or constant if k is set
     y  register, or string constant if k is set             e  number of a binary metamethod
   Next: m MMBIN, d MMBINI, c MMBINK, j JMP, x EXTRAARG, . anything. */
static const char rules[OPCODES][5] = {
    "=r..", "=...", "=...", "=...", "=..x", "=...", "=...", "=...", "=...", "=u..", "ru..", /* MOVE to SETUPVAL */
    "=us.", "=rr.", "=r..", "=rs.",                                                         /* GETTABUP to GETFIELD */
    "usx.", "rrx.", "r.x.", "rsx.",                                                         /* SETTABUP to SETFIELD */
    "=..x", "=ry.", "=r.d",                                                                 /* NEWTABLE SELF ADDI */
    "=rnc", "=rnc", "=rnc", "=rnc", "=rnc", "=rnc", "=rnc", "=ric", "=ric", "=ric",         /* ADDK to BXORK */
    "=r.d", "=r.d",                                                                         /* SHRI SHLI */
    "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", "=rrm", /* ADD to SHR */
    "rre.", "r.e.", "rke.",                                                                 /* MMBIN MMBINI MMBINK */
    "=r..", "=r..", "=r..", "=r..",                                                         /* UNM BNOT NOT LEN */
    "=...", "....", "r...", "....",                                                         /* CONCAT CLOSE TBC JMP */
    "rr.j", "rr.j", "rr.j", "rk.j", "r..j", "r..j", "r..j", "r..j", "r..j", "r..j", "=r.j", /* EQ to TESTSET */
    "=...", "=...", "....", "....", "r...",                                                 /* CALL to RETURN1 */
    "=...", "=...", "=...", "=...", "=...",                                                 /* FORLOOP to TFORLOOP */
    "r...", "=...", "=...", "....", "....",                                                 /* SETLIST to EXTRAARG */
};

/* One function's code and what it may refer to. */
typedef struct code {
    const unsigned char *code;
    int n, constants, functions, upvalues, parameters, registers;
    bool vararg;
    bool closes; /* all its returns close upvalues and variables */
} code;

static uint32_t instruction(const code *f, int pc)
{
    uint32_t i;
    memcpy(&i, f->code + (size_t)pc * 4, 4);
    return i;
}

static int opcode(uint32_t i) { return i & 0x7F; }
static int arg_a(uint32_t i) { return i >> 7 & 0xFF; }
static int arg_k(uint32_t i) { return i >> 15 & 1; }
static int arg_b(uint32_t i) { return i >> 16 & 0xFF; }
static int arg_c(uint32_t i) { return (int)(i >> 24); }
static int arg_bx(uint32_t i) { return (int)(i >> 15); }
static int arg_ax(uint32_t i) { return (int)(i >> 7); }

enum { NUMINT = 3, NUMFLT = 19, SHORTSTRING = 4, LONGSTRING = 20 };

static bool constant_is(const dump *D, const code *f, int index, char rule)
{
    if (index >= f->constants) return false;
    int type = D->types[index];
    switch (rule) {
    case 'n': return type == NUMINT || type == NUMFLT;
    case 'i': return type == NUMINT;
    case 's': return type == SHORTSTRING;
    case 'y': return type == SHORTSTRING || type == LONGSTRING;
    default: return true;
    }
}

static bool check_operand(dump *D, const code *f, char rule, int value, bool k)
{
    bool ok;
    switch (rule) {
    case '.': return true;
    case '=': case 'r': ok = value < f->registers; break;
    case 'u': ok = value < f->upvalues; break;
    case 'x': case 'y': ok = k ? constant_is(D, f, value, rule) : value < f->registers; break;
    case 'e': ok = value >= 6 && value <= 17; break; /* __add to __shr */
    default: ok = constant_is(D, f, value, rule);
    }
    return ok || fail(D, "an instruction's operand is out of range");
}

/* Registers from A on that the instruction uses beyond what its rule says. */
static int registers_used(uint32_t i)
{
    int b = arg_b(i), c = arg_c(i);
    switch (opcode(i)) {
    case OP_LOADNIL: return b + 1;
    case OP_SELF: return 2;
    case OP_CONCAT: return b;
    case OP_CALL: return b > c - 1 ? (b ? b : 1) : c - 1;
    case OP_TAILCALL: return b ? b : 1;
    case OP_RETURN: return b ? b - 1 : 0;
    case OP_FORLOOP: case OP_FORPREP: case OP_TFORPREP: return 4;
    case OP_TFORCALL: return c > 3 ? 4 + c : 7;
    case OP_TFORLOOP: return 5;
    case OP_SETLIST: return b + 1;
    case OP_VARARG: return c ? c - 1 : 0;
    default: return 0;
    }
}

static bool jumps_to(dump *D, const code *f, int pc, int64_t target)
{
    if (target < (f->vararg ? 1 : 0) || target >= f->n) return fail(D, "a jump leaves the function");
    jumps *j = &D->jumps[target];
    if (target <= pc) j->back = (uint32_t)pc + 1;
    else if (j->forward == 0) j->forward = (uint32_t)pc + 1;
    return true;
}

/* An open result (as many values as there are) must be used by the very next instruction, and only it uses one. */
static bool leaves_open(uint32_t i)
{
    int op = opcode(i);
    return op == OP_TAILCALL || ((op == OP_CALL || op == OP_VARARG) && arg_c(i) == 0);
}

static bool takes_open(uint32_t i)
{
    int op = opcode(i);
    return (op == OP_CALL || op == OP_TAILCALL || op == OP_RETURN || op == OP_SETLIST) && arg_b(i) == 0;
}

static bool check_next(dump *D, const code *f, int pc, char rule)
{
    static const char names[] = "mdcjx";
    static const int wanted[] = {OP_MMBIN, OP_MMBINI, OP_MMBINK, OP_JMP, OP_EXTRAARG};
    if (rule == '.') return true;
    bool there = opcode(instruction(f, pc + 1)) == wanted[strchr(names, rule) - names];
    return there || fail(D, "an instruction lacks its second half");
}

/* The second half of a pair must follow the first. */
static bool check_previous(dump *D, const code *f, int pc, int op)
{
    bool second = op == OP_MMBIN || op == OP_MMBINI || op == OP_MMBINK || op == OP_EXTRAARG;
    if (!second) return true;
    if (pc > 0) {
        uint32_t before = instruction(f, pc - 1);
        char next = rules[opcode(before)][3];
        if (op == OP_MMBIN ? next == 'm' : op == OP_MMBINI ? next == 'd' : op == OP_MMBINK ? next == 'c'
            : next == 'x' || (opcode(before) == OP_SETLIST && arg_k(before)))
            return true;
    }
    return fail(D, "an instruction lacks its first half");
}

static bool check_special(dump *D, const code *f, int pc, uint32_t i)
{
    int a = arg_a(i), b = arg_b(i), c = arg_c(i);
    uint32_t next = pc + 1 < f->n ? instruction(f, pc + 1) : i;
    int64_t after = (int64_t)pc + 1;
    switch (opcode(i)) {
    case OP_LOADK:
        return arg_bx(i) < f->constants || fail(D, "an instruction's constant is missing");
    case OP_LOADKX:
        return arg_ax(next) < f->constants || fail(D, "an instruction's constant is missing");
    case OP_CLOSURE:
        return arg_bx(i) < f->functions || fail(D, "an instruction's function is missing");
    case OP_NEWTABLE: { /* room for no more than the code can put there */
        int64_t items = c + (int64_t)arg_ax(next) * 256;
        bool pairs_fit = b == 0 || (b < 32 && INT64_C(1) << (b - 1) <= (int64_t)f->n * 2);
        bool ok = arg_k(i) == (arg_ax(next) != 0) && items <= (int64_t)f->n * 64 && pairs_fit;
        return ok || fail(D, "a table is too large");
    }
    case OP_SETLIST:
        if (arg_k(i) && opcode(next) != OP_EXTRAARG) return fail(D, "an instruction lacks its second half");
        return !arg_k(i) || arg_ax(next) < INT_MAX / 512 || fail(D, "a table is too large");
    case OP_SELF: { /* takes its key for a string: a register must have been loaded with one just before */
        if (arg_k(i)) return true;
        uint32_t load = pc > 0 ? instruction(f, pc - 1) : i;
        int constant = arg_bx(load);
        if (opcode(load) == OP_EXTRAARG && pc > 1) {
            constant = arg_ax(load);
            load = instruction(f, pc - 2);
        }
        bool ok = (opcode(load) == OP_LOADK || opcode(load) == OP_LOADKX) && arg_a(load) == c;
        return (ok && constant_is(D, f, constant, 'y')) || fail(D, "a method's name is not a string");
    }
    case OP_CONCAT:
        return b >= 2 || fail(D, "an instruction's operand is out of range");
    case OP_LFALSESKIP:
        return jumps_to(D, f, pc, after + 1);
    case OP_JMP:
        return jumps_to(D, f, pc, after + arg_ax(i) - 16777215);
    case OP_FORLOOP: case OP_TFORLOOP:
        return jumps_to(D, f, pc, after - arg_bx(i));
    case OP_FORPREP: {
        if (!jumps_to(D, f, pc, after + arg_bx(i) + 1)) return false;
        uint32_t loop = instruction(f, (int)after + arg_bx(i));
        bool ok = opcode(loop) == OP_FORLOOP && arg_a(loop) == a && arg_bx(loop) == arg_bx(i) + 1;
        return ok || fail(D, "a loop is not one");
    }
    case OP_TFORPREP: {
        int64_t target = after + arg_bx(i);
        if (!jumps_to(D, f, pc, target)) return false;
        uint32_t call = instruction(f, (int)target);
        return (opcode(call) == OP_TFORCALL && arg_a(call) == a) || fail(D, "a loop is not one");
    }
    case OP_TFORCALL:
        return (c > 0 && opcode(next) == OP_TFORLOOP && arg_a(next) == a) || fail(D, "a loop is not one");
    case OP_RETURN: case OP_TAILCALL:
        return c == (f->vararg ? f->parameters + 1 : 0) || fail(D, "a return is not one");
    case OP_RETURN0: case OP_RETURN1:
        return !f->vararg || fail(D, "a return is not one");
    case OP_VARARG:
        return f->vararg || fail(D, "the function is not variadic");
    case OP_VARARGPREP:
        return (pc == 0 && f->vararg && a == f->parameters) || fail(D, "the function is not variadic");
    default:
        return true;
    }
}

/* First pass: every instruction by itself and with its neighbours; gathers the jumps. */
static bool check_instructions(dump *D, code *f)
{
    bool must_close = false;
    f->closes = true;
    memset(D->jumps, 0, (size_t)f->n * sizeof *D->jumps);
    int last = f->n ? opcode(instruction(f, f->n - 1)) : OP_JMP;
    if (last < OP_RETURN || last > OP_RETURN1) return fail(D, "the code does not end with a return");
    if (f->vararg && opcode(instruction(f, 0)) != OP_VARARGPREP) return fail(D, "the function is not variadic");
    for (int pc = 0; pc < f->n; pc++) {
        uint32_t i = instruction(f, pc);
        int op = opcode(i);
        if (op >= OPCODES) return fail(D, "an instruction is unknown");
        const char *rule = rules[op];
        if (!check_operand(D, f, rule[0], arg_a(i), false) || !check_operand(D, f, rule[1], arg_b(i), false) ||
            !check_operand(D, f, rule[2], arg_c(i), arg_k(i)) || !check_next(D, f, pc, rule[3]) ||
            !check_previous(D, f, pc, op) || !check_special(D, f, pc, i))
            return false;
        bool has_register = rule[0] != 'u' && op != OP_JMP && op != OP_EXTRAARG && op != OP_VARARGPREP;
        if (has_register && arg_a(i) + registers_used(i) > f->registers)
            return fail(D, "an instruction's operand is out of range");
        if (op == OP_TBC || op == OP_TFORPREP) must_close = true;
        if (op == OP_RETURN || op == OP_TAILCALL) f->closes = f->closes && arg_k(i);
        if (op == OP_RETURN0 || op == OP_RETURN1) f->closes = false;
        if (takes_open(i) && (pc == 0 || !leaves_open(instruction(f, pc - 1))))
            return fail(D, "an instruction uses values that are not there");
        if (leaves_open(i) && !takes_open(instruction(f, pc + 1)))
            return fail(D, "an instruction leaves values that nothing uses");
    }
    return !must_close || f->closes || fail(D, "a variable is not closed");
}

/* The last register from A on that the instruction writes. */
static int last_written(uint32_t i)
{
    int a = arg_a(i);
    switch (opcode(i)) {
    case OP_LOADNIL: return a + arg_b(i);
    case OP_SELF: return a + 1;
    case OP_FORLOOP: case OP_FORPREP: return a + 3;
    case OP_CONCAT: case OP_CALL: case OP_TAILCALL: case OP_TFORPREP: case OP_TFORCALL: case OP_TFORLOOP: case OP_VARARG:
        return 255;
    default: return a;
    }
}

/* The target of a jump back, else INT_MAX. */
static int jumps_back_to(uint32_t i, int pc)
{
    int op = opcode(i), target = INT_MAX;
    if (op == OP_JMP) target = pc + 1 + arg_ax(i) - 16777215;
    if (op == OP_FORLOOP || op == OP_TFORLOOP) target = pc + 1 - arg_bx(i);
    return target <= pc ? target : INT_MAX;
}

/* Second pass: what depends on the order of instructions and on all jumps, registers that the machine takes for
   something without looking.

   SETLIST takes its register for a table: between the NEWTABLE that made it and the SETLIST nothing may write the
   register, and no jump from elsewhere may lead there. The registers that hold new tables are kept as a stack, for the
   compiler uses registers that way; any instruction that writes a register takes it and those above off.

   FORLOOP takes three registers for the numbers that FORPREP left: nothing between them may write those, and no jump
   from elsewhere may lead there.

   TBC puts a register on a list of those to be closed, which must rise: none may be put there again, or a lower one,
   before a CLOSE, neither further down nor by a jump back, and no tail call leave while one is there. (TFORPREP does so
   too, but Lua 5.4.4 itself leaves out the CLOSE after some loops with a break.) */
static bool check_flow(dump *D, const code *f)
{
    struct { int reg, pc; } made[256];
    struct { int reg, from, to; } loops[256];
    struct { int reg, pc; } closing[256];
    int tables = 0, depth = 0, open = 0;
    for (int pc = 0; pc < f->n; pc++) {
        uint32_t i = instruction(f, pc), forward = D->jumps[pc].forward, back = D->jumps[pc].back;
        int op = opcode(i), a = arg_a(i);
        if (forward || back) {
            bool second_half = op == OP_EXTRAARG || (op >= OP_MMBIN && op <= OP_MMBINK) || (op == OP_SELF && !arg_k(i));
            if (second_half || takes_open(i))
                return fail(D, "a jump leads between two halves");
            if (back) tables = 0;
            if (forward)
                while (tables > 0 && made[tables - 1].pc >= (int)forward - 1) tables--;
            int first = forward ? (int)forward - 1 : pc, last = (int)back - 1;
            if (depth > 0 && (first <= loops[depth - 1].from || last > loops[depth - 1].to))
                return fail(D, "a jump leads into a loop");
        }
        if (op == OP_FORLOOP) {
            if (depth == 0 || loops[depth - 1].to != pc) return fail(D, "a loop is not one");
            depth--;
        }
        if (op == OP_CLOSE)
            while (open > 0 && closing[open - 1].reg >= a) open--;
        if (open > 0 && (op == OP_TAILCALL || jumps_back_to(i, pc) <= closing[open - 1].pc))
            return fail(D, "a variable is not closed");
        if (op == OP_TBC) {
            if (open > 0 && closing[open - 1].reg >= a) return fail(D, "a variable is not closed");
            closing[open].reg = a;
            closing[open++].pc = pc;
        }
        if (op == OP_SETLIST) {
            while (tables > 0 && made[tables - 1].reg > a) tables--;
            if (tables == 0 || made[tables - 1].reg != a) return fail(D, "a list is set in what is no table");
        } else if (rules[op][0] == '=') {
            for (int l = 0; l < depth; l++)
                if (a <= loops[l].reg + 2 && last_written(i) >= loops[l].reg)
                    return fail(D, "an instruction writes what a loop counts in");
            while (tables > 0 && made[tables - 1].reg >= a) tables--;
            if (op == OP_NEWTABLE) {
                made[tables].reg = a;
                made[tables++].pc = pc;
            }
        }
        if (op == OP_FORPREP) {
            if (depth > 0 && (loops[depth - 1].reg + 2 >= a || loops[depth - 1].to <= pc + 1 + arg_bx(i)))
                return fail(D, "loops are not nested");
            loops[depth].reg = a;
            loops[depth].from = pc;
            loops[depth++].to = pc + 1 + arg_bx(i);
        }
    }
    return true;
}

/* --- functions ----------------------------------------------------------------------------------------------- */

static void read_constants(dump *D, code *f)
{
    f->constants = read_count(D, 1);
    for (int i = 0; i < f->constants && !D->wrong; i++) {
        int type = read_byte(D);
        D->types[i] = (char)type;
        switch (type) {
        case LUA_TNIL: case LUA_TBOOLEAN: case LUA_TBOOLEAN | 16: break;
        case NUMINT: case NUMFLT: read_bytes(D, 8); break;
        case SHORTSTRING: case LONGSTRING: {
            ptrdiff_t n = read_string(D);
            if (n < 0 || (type == SHORTSTRING) != (n <= 40)) fail(D, "a string constant is not one");
            break;
        }
        default: fail(D, "a constant is of no known type");
        }
    }
}

static int read_upvalues(dump *D, const code *outer)
{
    int n = read_count(D, 3);
    if (n > 255) return fail(D, "there are too many upvalues");
    for (int i = 0; i < n && !D->wrong; i++) {
        int local = read_byte(D), index = read_byte(D), kind = read_byte(D);
        if (local > 1 || kind > 3) fail(D, "an upvalue is not one");
        if (outer && index >= (local ? outer->registers : outer->upvalues)) fail(D, "an upvalue is out of range");
        if (outer && local && !outer->closes) fail(D, "a variable is not closed");
    }
    return n;
}

/* Lua finds a line from the nearest absolute one, of which it takes one every 128 instructions for granted. */
static void read_lines(dump *D, const code *f)
{
    int n = read_count(D, 1);
    if (n != 0 && n != f->n) fail(D, "the lines do not fit the code");
    const unsigned char *steps = read_bytes(D, (size_t)n);
    int absolute = read_count(D, 2), at = -1;
    for (int i = 0; i < absolute && !D->wrong; i++) {
        int pc = read_int(D);
        read_int(D);
        if (D->wrong) return;
        bool ok = pc > at && pc < n && pc / 128 <= i + (pc % 128 == 0) && steps[pc] == 0x80;
        for (int between = at + 1; ok && between < pc; between++) ok = steps[between] != 0x80;
        if (!ok) fail(D, "the lines do not fit the code");
        at = pc;
    }
    if (D->wrong || n == 0) return;
    for (int after = at + 1; after < n; after++)
        if (steps[after] == 0x80) fail(D, "the lines do not fit the code");
    if (absolute && (n - 1) / 128 > absolute) fail(D, "the lines do not fit the code");
}

static void read_debug(dump *D, const code *f)
{
    read_lines(D, f);
    int locals = read_count(D, 3);
    for (int i = 0; i < locals && !D->wrong; i++) {
        if (read_string(D) < 0) fail(D, "a local variable has no name");
        if (read_int(D) > f->n || read_int(D) > f->n) fail(D, "a local variable is out of range");
    }
    int names = read_count(D, 1);
    if (names > f->upvalues) fail(D, "there are more upvalue names than upvalues");
    for (int i = 0; i < names && !D->wrong; i++) read_string(D);
}

static int read_function(dump *D, const code *outer)
{
    code f;
    if (++D->depth > DEEPEST) return fail(D, "functions are nested too deep");
    read_string(D); /* source */
    read_int(D);    /* first line */
    read_int(D);    /* last line */
    f.parameters = read_byte(D);
    int vararg = read_byte(D);
    f.vararg = vararg;
    f.registers = read_byte(D);
    if (vararg > 1 || f.parameters > f.registers) fail(D, "the function's head is wrong");
    f.n = read_count(D, 4);
    f.code = read_bytes(D, (size_t)f.n * 4);
    read_constants(D, &f);
    f.upvalues = read_upvalues(D, outer);
    f.functions = read_count(D, 12);
    if (D->wrong || !check_instructions(D, &f) || !check_flow(D, &f)) return 0;
    for (int i = 0; i < f.functions && !D->wrong; i++) read_function(D, &f);
    read_debug(D, &f);
    D->depth--;
    return f.upvalues;
}

const char *lm_checkbytecode(lua_State *L, const char *bytes, size_t n, int *upvalues)
{
    static const char head[] = "\x1bLua\x54\0\x19\x93\r\n\x1a\n\4\x08\x08\x78\x56\0\0\0\0\0\0\0\0\0\0\0\x28\x77\x40";
    const size_t size = sizeof head - 1;
    if (n <= size || memcmp(bytes, head, size)) return "it is not a function of this Lua";
    const unsigned char *p = (const unsigned char *)bytes;
    dump D = {.p = p + size, .end = p + n};
    D.jumps = lua_newuserdatauv(L, n / 4 * sizeof(jumps) + n, 0);
    D.types = (char *)(D.jumps + n / 4);
    *upvalues = read_byte(&D);
    if (read_function(&D, NULL) != *upvalues) fail(&D, "the upvalues do not fit");
    if (D.p != D.end) fail(&D, "there is more behind it");
    lua_pop(L, 1);
    return D.wrong;
}
