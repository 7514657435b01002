-- ranks: 1
-- The reference's table of MPI functions against mpi.h and against the program.
local lu = require "mpi.luaunit"
local source = require "mpi.source"

-- The chapters of MPI that the table leaves out, as patterns on names without "MPI_".
local elsewhere = {
    "^File_", "^Win_", "^T_", "^Type_", "^Info_", "^Pack", "^Unpack", "^Register_", "^Grequest_", "^Status_", "_c2f$", "_f2c$",
    "rrhandler", "^Add_error", "^Error_", "^Open_port$", "^Close_port$", "_name$", "^Comm_accept$", "^Comm_connect$",
    "^Comm_disconnect$", "^Comm_join$", "^Comm_spawn", "^Comm_get_parent$", "^R?[Aa]ccumulate$", "^R?[Gg]et$", "^R?[Pp]ut$",
    "^R?[Gg]et_accumulate$", "^Fetch_and_op$", "^Compare_and_swap$", "^Alloc_mem$", "^Free_mem$", "^Get_address$",
    "^Get_version$", "^Get_library_version$", "^Init", "^Finalize", "^Abort$", "^Query_thread$", "^Is_thread_main$", "^Pcontrol$",
    -- deprecated or removed names of others
    "^Attr_", "^Keyval_", "^Address$",
}
local inside = {Comm_get_name = true, Comm_set_name = true}

local function declared()
    local names = {}
    local pipe <close> = assert(io.popen "mpicc --showme:incdirs")
    for directory in pipe:read("a"):gmatch("%S+") do
        local file <close> = io.open(directory .. "/mpi.h")
        for name in (file and file:read("a") or ""):gmatch("int%s+MPI_(%u[%w_]*)%s*%(") do
            local out = false
            for _, pattern in ipairs(elsewhere) do out = out or name:find(pattern) end
            if inside[name] or not out then names["MPI_" .. name] = true end
        end
    end
    return names
end

local rows, own = {}, {}
for line in source "meta.functions":gmatch("[^\n]+") do
    local name, what = line:match("^%-%-%-     (MPI_[%w_]+)%s+(.+)$")
    if name then rows[#rows + 1] = {name = name, what = what}
    else own[#own + 1] = line:match("^%-%-%-     (%a+:[%w_]+)$")
    end
end

local function sorted(set)
    local list = {}
    for name in pairs(set) do list[#list + 1] = name end
    table.sort(list)
    return list
end

-- The luampi names of a row; none when it gives a reason.
local function names_of(row)
    return row.what:find("^none: %S") and function () end or row.what:gmatch("[%w_]+[.:][%w_]+")
end

TestFunctions = {}

function TestFunctions:test_the_table_has_each_function_of_mpi_once()
    local missing, twice, extra = declared(), {}, {}
    lu.assertTrue(missing.MPI_Send and missing.MPI_Cart_create and missing.MPI_Iallreduce and missing.MPI_Comm_set_name)
    local known = declared()
    for _, row in ipairs(rows) do
        if not known[row.name] then extra[row.name] = true
        elseif not missing[row.name] then twice[row.name] = true
        end
        missing[row.name] = nil
    end
    lu.assertEquals({sorted(missing), sorted(twice), sorted(extra)}, {{}, {}, {}})
end

function TestFunctions:test_each_name_in_the_table_exists()
    local _, status = mpi.COMM_SELF:recv(mpi.PROC_NULL)
    local owners = {mpi = mpi, comm = mpi.comm, request = mpi.request, status = status}
    local missing = {}
    for _, row in ipairs(rows) do
        local count = 0
        for name in names_of(row) do
            local owner, member = name:match("^(%a+)[.:](.+)$")
            if not owners[owner] or owners[owner][member] == nil then missing[name] = true end
            count = count + 1
        end
        lu.assertTrue(count > 0 or row.what:find("^none: ") ~= nil, row.name)
    end
    lu.assertEquals(sorted(missing), {})
end

function TestFunctions:test_each_method_of_a_communicator_is_in_the_table()
    local missing = {}
    for name, value in pairs(mpi.comm) do
        if type(value) == "function" and not name:find("^__") then missing["comm:" .. name] = true end
    end
    for _, row in ipairs(rows) do
        for name in names_of(row) do missing[name] = nil end
    end
    for _, name in ipairs(own) do
        lu.assertNotNil(mpi.comm[name:match(":(.+)")], name)
        missing[name] = nil
    end
    lu.assertEquals(sorted(missing), {})
end

os.exit(lu.run())
