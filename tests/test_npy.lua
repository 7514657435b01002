local lu = require "mpi.luaunit"
local here = arg[0]:match("^(.*)/[^/]*$") or "."
local support = dofile "tests/support.lua"
local dtypes, fails = support.dtypes, support.fails

local function data(name) return here .. "/data/" .. name .. ".npy" end

local function files_in(folder)
    local names = {}
    for name in io.popen("ls '" .. folder .. "'"):lines() do names[#names + 1] = name end
    return names
end

local function with_file(f)
    local path = os.tmpname()
    local ok, message = pcall(f, path)
    os.remove(path)
    if not ok then error(message, 0) end
end

local function with_folder(f)
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir '%s'"):format(folder)))
    local ok, message = pcall(f, folder)
    os.execute(("rm -r '%s'"):format(folder))
    if not ok then error(message, 0) end
end

local function bytes_of(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read("a")
end

-- Stands in for a communicator: load asks it for rank and size only.
local function rank_of(rank, size)
    return {rank = function () return rank end, size = function () return size end}
end

TestNpy = {}

function TestNpy:test_all_dtypes_load_in_both_orders()
    for _, dtype in ipairs(dtypes) do
        local expected = array.range(-12, 11):as(dtype):reshape {2, 3, 4}
        for _, order in ipairs {"c_", "f_"} do
            local a, first = array.load(data(order .. dtype))
            lu.assertEquals(a:dtype(), dtype)
            lu.assertTrue(a == expected, order .. dtype)
            lu.assertNil(first)
        end
    end
end

function TestNpy:test_shapes_at_the_edge_load()
    local zero = array.load(data "zero_d")
    lu.assertEquals(zero:ndim(), 0)
    lu.assertEquals(zero:get(), 2.5)
    lu.assertEquals({array.load(data "empty_0"):shape()}, {0})
    lu.assertEquals({array.load(data "empty_0x3"):shape()}, {0, 3})
    lu.assertEquals({array.load(data "empty_f"):shape()}, {3, 0, 2})
    local eight = array.load(data "eight_d")
    lu.assertEquals({eight:shape()}, {2, 1, 3, 1, 2, 1, 2, 1})
    lu.assertTrue(eight:reshape(24) == array.range(0, 23, 1, "int32"))
    lu.assertTrue(array.load(data "bool") == array.of({1, 0, 1}, "uint8"))
end

function TestNpy:test_rows_are_a_slice_of_the_whole_in_both_orders()
    for _, name in ipairs {"c_int32", "f_int32", "wide_f", "eight_d", "one_d"} do
        local whole = array.load(data(name))
        for first = 1, #whole do
            for last = first - 1, #whole do
                local a, from = array.load(data(name), {rows = {first, last}})
                lu.assertEquals(from, first)
                lu.assertEquals(#a, last - first + 1)
                if last >= first then lu.assertTrue(a == whole:slice(first, last), name) end
            end
        end
    end
    lu.assertEquals(array.load(data "one_d", {rows = {-2, -1}}):totable(), {3, 4})
end

function TestNpy:test_rows_that_are_not_there_raise()
    for _, rows in ipairs {{0, 1}, {1, 6}, {7, 7}, {4, 2}, {-6, 1}} do
        fails("the file has 1 to 5", array.load, data "one_d", {rows = rows})
    end
    fails("two integers", array.load, data "one_d", {rows = {1}})
    fails("two integers", array.load, data "one_d", {rows = {1.5, 2}})
    fails("a list", array.load, data "one_d", {rows = 3})
    fails("0-d", array.load, data "zero_d", {rows = {1, 1}})
    fails("exclude", array.load, data "one_d", {rows = {1, 1}, comm = rank_of(0, 1)})
    fails("unknown option 'row'", array.load, data "one_d", {row = {1, 1}})
end

function TestNpy:test_ranks_share_the_rows_and_the_first_ones_get_one_more()
    for _, name in ipairs {"wide_f", "one_d", "empty_0x3"} do
        local whole = array.load(data(name))
        for size = 1, 9 do
            local blocks, at, lengths = {}, 1, {}
            for rank = 0, size - 1 do
                local block, first = array.load(data(name), {comm = rank_of(rank, size)})
                lu.assertEquals(first, at)
                at = at + #block
                blocks[rank + 1], lengths[rank + 1] = block, #block
                lu.assertTrue(rank == 0 or lengths[rank] - #block <= 1)
            end
            lu.assertTrue(lengths[1] - lengths[size] <= 1)
            lu.assertTrue(array.concat(blocks) == whole)
        end
    end
    fails("not a communicator", array.load, data "one_d", {comm = rank_of(3, 3)})
    fails("not a communicator", array.load, data "one_d", {comm = 3})
end

function TestNpy:test_mapped_files_read_as_loaded_ones()
    for _, dtype in ipairs(dtypes) do
        for _, order in ipairs {"c_", "f_"} do
            local path = data(order .. dtype)
            lu.assertTrue(array.load(path, {mmap = true}) == array.load(path))
            local rows, first = array.load(path, {mmap = true, rows = {2, 2}})
            lu.assertEquals(first, 2)
            lu.assertTrue(rows == array.load(path, {rows = {2, 2}}))
            lu.assertTrue(rows + 1 == array.load(path, {rows = {2, 2}}) + 1)
        end
    end
    for _, name in ipairs {"zero_d", "empty_0", "empty_0x3", "empty_f", "eight_d", "wide_f"} do
        lu.assertTrue(array.load(data(name), {mmap = true}) == array.load(data(name)))
    end
end

function TestNpy:test_mapped_files_cannot_be_written()
    local path = data "c_float64"
    local a = array.load(path, {mmap = true})
    fails("mmap", function () a:reshape(-1)[1] = 5 end)
    fails("mmap", function () a[1] = 5 end)
    for _, change in ipairs {"fill", "add_", "copyfrom", "scal", "neg_"} do fails("mmap", a[change], a, change == "copyfrom" and a or 2) end
    fails("mmap", a.set, a, 1, 1, 1, 5)
    lu.assertTrue(array.load(path) == a)
    lu.assertEquals(a:copy():fill(2):sum(), 48)
end

function TestNpy:test_a_mapped_file_that_shrinks_counts_as_freed_and_crashes_nothing()
    with_file(function (path)
        array.save(path, array.ones(100000))
        local a, other = array.load(path, {mmap = true}), array.load(path, {mmap = true})
        lu.assertEquals(other:sum(), 100000)
        io.open(path, "w"):close()
        lu.assertEquals(a:sum(), 0)
        fails("freed", a.sum, a)
        fails("freed", function () return a[1] end)
        a, other = nil, nil
        collectgarbage()
    end)
end

function TestNpy:test_mapped_memory_can_be_freed()
    local a = array.load(data "c_float64", {mmap = true})
    local row = a[1][1]
    a:free()
    fails("freed", function () return row[1] end)
    fails("freed", a.sum, a)
    collectgarbage()
    fails("freed", function () return row[1] end)
end

function TestNpy:test_data_that_is_not_aligned_is_not_mapped()
    with_file(function (path)
        local whole = bytes_of(data "c_int32")
        local file = assert(io.open(path, "wb"))
        file:write(whole:sub(1, 8), ("<I2"):pack(119), whole:sub(11, 128), " ", whole:sub(129))
        file:close()
        lu.assertTrue(array.load(path) == array.load(data "c_int32"))
        fails({"mmap", "129", "4"}, array.load, path, {mmap = true})
    end)
end

-- A path all ranks agree on.
local function with_common_file(f)
    local path = comm:bcast(comm:rank() == 0 and os.tmpname() or nil)
    local ok, message = pcall(f, path)
    comm:barrier()
    if comm:rank() == 0 then os.remove(path) end
    if not ok then error(message, 0) end
end

function TestNpy:test_all_ranks_write_one_file_and_read_their_blocks_back()
    local rank, size = comm:rank(), comm:size()
    with_common_file(function (path)
        for _, dtype in ipairs(dtypes) do
            for _, rows in ipairs {0, 1, size, 2 * size + 1, 50} do
                local whole = array.range(1, rows * 6):as(dtype):reshape {rows, 2, 3}
                local each, more = rows // size, rows % size
                local n = each + (rank < more and 1 or 0)
                local first = rank * each + math.min(rank, more) + 1
                local block = whole:slice(first, first + n - 1)
                array.save(path, n > 0 and block or whole:slice(1, 0), {comm = comm})
                lu.assertTrue(array.load(path) == whole)
                local loaded, from = array.load(path, {comm = comm})
                lu.assertEquals(from, first)
                lu.assertTrue(loaded == (n > 0 and block or whole:slice(1, 0)))
                comm:barrier()
            end
        end
        -- blocks of any sizes, and views
        local block = array.full({3, rank + 1}, rank, "int16"):t()
        array.save(path, block, {comm = comm, sync = true})
        local all = array.load(path)
        lu.assertEquals({all:shape()}, {size * (size + 1) // 2, 3})
        lu.assertEquals(all:get(#all, 3), size - 1)
        lu.assertEquals(all:sum(), 3 * size * (size + 1) * (size - 1) // 3)
        comm:barrier()
    end)
end

function TestNpy:test_a_mistake_on_one_rank_of_a_common_save_raises_on_all_and_leaves_the_old_file()
    local rank, size = comm:rank(), comm:size()
    local last = size - 1
    with_common_file(function (path)
        array.save(path, array.ones {2, 3}, {comm = comm})
        local function common(block, words) fails(words, array.save, path, block, {comm = comm}) end
        common(rank == last and {} or array.ones {2, 3}, {"rank " .. last, "mpi.array expected, got table"})
        common(rank == last and array.zeros {} or array.ones {2, 3}, {"rank " .. last, "0-d"})
        fails({"rank " .. last, "string expected, got nil"}, array.save, rank ~= last and path or nil, array.ones {2, 3}, {comm = comm})
        fails({"rank " .. last, "unknown option 'snyc'"}, array.save, path, array.ones {2, 3}, {comm = comm, snyc = rank == last or nil})
        fails("not a communicator", array.save, path, array.ones {2, 3}, {comm = 1})
        if size > 1 then
            common(rank == last and array.ones {2, 4} or array.ones {2, 3}, {"rank " .. last, "(4)", "(3)"})
            common(rank == last and array.ones({2, 3}, "int8") or array.ones {2, 3}, {"rank " .. last, "int8", "float64"})
            fails("rank 1 saves", array.save, rank == 1 and path .. "x" or path, array.ones {2, 3}, {comm = comm})
        end
        fails("No such file", array.save, "/nowhere/a.npy", array.ones {2, 3}, {comm = comm})
        fails("test_npy.lua:", function () array.save("/nowhere/a.npy", array.ones(2), {comm = comm}) end)
        fails("test_npy.lua:", function () array.save(path, array.zeros {}, {comm = comm}) end)
        comm:barrier()
        lu.assertTrue(array.load(path) == array.ones {2 * size, 3})
        local pipe <close> = io.popen("ls -d " .. path .. "*")
        lu.assertEquals(pipe:read "a", path .. "\n")
    end)
end

function TestNpy:test_what_is_saved_loads_again()
    with_file(function (path)
        for _, dtype in ipairs(dtypes) do
            local a = array.range(1, 60):as(dtype):reshape {3, 4, 5}
            for _, view in ipairs {a, a:t(), a:slice(1, 3, 2), a[2], a:slice({2, 3}, {1, 4, 3}, {2, 4}), a:slice(3, 2), a:reshape {60}} do
                array.save(path, view)
                lu.assertTrue(array.load(path) == view)
            end
        end
        local zero = array.full({}, 7, "int8")
        array.save(path, zero, {sync = true})
        lu.assertTrue(array.load(path) == zero)
    end)
end

function TestNpy:test_special_values_keep_their_bits()
    with_file(function (path)
        local a = array.of {0 / 0, 1 / 0, -1 / 0, -0.0, 5e-324, 0x1.fffffffffffffp1023}
        array.save(path, a)
        lu.assertEquals(array.load(path):bytes(), a:bytes())
    end)
end

function TestNpy:test_a_save_that_fails_leaves_the_old_file_and_nothing_else()
    with_folder(function (folder)
        local path = folder .. "/a.npy"
        array.save(path, array.ones(3))
        fails({"cannot save", "No such file"}, array.save, "/nowhere/at/all.npy", array.ones(3))
        fails("bad argument #2", array.save, path, {1, 2})
        lu.assertTrue(array.load(path) == array.ones(3))
        assert(os.execute(("mkdir '%s/b.npy'"):format(folder)))
        fails({"cannot save", "not a regular file"}, array.save, folder .. "/b.npy", array.ones(3))
        lu.assertEquals(files_in(folder), {"a.npy", "b.npy"})
    end)
    fails("not a regular file", array.save, "/dev/null", array.ones(3))
end

function TestNpy:test_a_save_through_a_link_replaces_what_it_points_to()
    with_file(function (path)
        local link = path .. ".link"
        assert(os.execute(("ln -s '%s' '%s'"):format(path, link)))
        array.save(link, array.ones(2))
        local same = array.load(path) == array.ones(2)
        os.remove(link)
        lu.assertTrue(same)
    end)
end

function TestNpy:test_files_that_are_none_raise_with_their_name()
    fails({"cannot load /nowhere.npy", "No such file"}, array.load, "/nowhere.npy")
    fails({"cannot load /tmp", "not a regular file"}, array.load, "/tmp")
    fails("not a regular file", array.load, "/dev/zero")
end

-- The first word of a corpus file's name is the field its error must name.
function TestNpy:test_bad_files_raise_and_name_file_and_field()
    local bad = 0
    local also = {text = "magic", empty = "magic", data = "shape", length = "header", order = "fortran_order"}
    for _, name in ipairs(files_in(here .. "/corpus/npy")) do
        local path = here .. "/corpus/npy/" .. name
        local field = name:match("^[a-z]+")
        collectgarbage()
        local before = collectgarbage "count"
        if field == "good" then
            lu.assertTrue(pcall(array.load, path), name)
        elseif #field < 20 then
            bad = bad + 1
            fails({path, also[field] or field}, array.load, path)
            lu.assertTrue(collectgarbage "count" - before < 64 + #bytes_of(path) / 1024, name)
        end
    end
    lu.assertTrue(bad >= 40)
end

function TestNpy:test_a_good_file_cut_anywhere_raises()
    local whole = bytes_of(data "c_int32")
    with_file(function (path)
        for n = 0, #whole - 1 do
            local file = assert(io.open(path, "wb"))
            file:write(whole:sub(1, n))
            file:close()
            fails(path, array.load, path)
        end
    end)
end

-- Every byte of the header replaced by others: an array or an error, nothing else.
function TestNpy:test_a_good_file_with_any_byte_changed_loads_or_raises()
    local whole = bytes_of(data "c_int32")
    with_file(function (path)
        for n = 1, 128 do
            for _, c in ipairs {"\0", "\xff", "9", "-", "(", "'"} do
                local file = assert(io.open(path, "wb"))
                file:write(whole:sub(1, n - 1), c, whole:sub(n + 1))
                file:close()
                local ok, message = pcall(array.load, path)
                if not ok then lu.assertStrContains(message, path) end
            end
        end
    end)
end

local python = support.python()

local function run_python(code)
    local pipe <close> = io.popen(python .. " -c '" .. code .. "' 2>&1")
    return pipe:read "a"
end

function TestNpy:test_numpy_reads_what_is_written_byte_by_byte()
    lu.skipIf(not python, "no Python with NumPy here")
    with_folder(function (folder)
        local shapes = {{}, {0}, {7}, {3, 4}, {2, 3, 4}, {0, 5}, {1, 2, 1, 2, 1, 2, 1, 3}}
        local n = 0
        for _, dtype in ipairs(dtypes) do
            for _, shape in ipairs(shapes) do
                n = n + 1
                array.save(("%s/%03d.npy"):format(folder, n), array.full(shape, n, dtype))
            end
        end
        array.save(folder .. "/000.npy", array.range(1, 12):reshape {3, 4}:t())
        local said = run_python(([[
import glob, io, numpy as np
for p in sorted(glob.glob("%s/*.npy")):
    a = np.load(p)
    b = io.BytesIO()
    np.save(b, np.ascontiguousarray(a).reshape(a.shape))
    if b.getvalue() != open(p, "rb").read(): print("differs", p, a.dtype, a.shape)
    print(a.dtype, a.shape, int(a.sum() / max(a.size, 1)))
]]):format(folder))
        lu.assertNotStrContains(said, "differs")
        lu.assertNotStrContains(said, "Error")
        local lines = {}
        for line in said:gmatch "[^\n]+" do lines[#lines + 1] = line end
        lu.assertEquals(#lines, n + 1)
        lu.assertEquals(lines[1], "int64 (4, 3) 6")
        lu.assertEquals(lines[5], "float64 (3, 4) 4")
    end)
end

function TestNpy:test_what_numpy_writes_now_loads()
    lu.skipIf(not python, "no Python with NumPy here")
    with_folder(function (folder)
        local said = run_python(([[
import numpy as np
for i, dtype in enumerate("%s".split(), 1):
    for order in "CF":
        a = np.array(np.arange(120).reshape(4, 5, 6) * i, dtype, order=order)
        np.save("%s/" + dtype + order, a)]]):format(table.concat(dtypes, " "), folder))
        lu.assertEquals(said, "")
        for i, dtype in ipairs(dtypes) do
            for _, order in ipairs {"C", "F"} do
                local a = array.load(("%s/%s%s.npy"):format(folder, dtype, order))
                lu.assertTrue(a == array.range(0, 119 * i, i):as(dtype):reshape {4, 5, 6})
            end
        end
    end)
end

os.exit(lu.run())
