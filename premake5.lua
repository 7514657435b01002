-- One script for premake5 and for Debian's premake4 (premake4 --file=premake5.lua gmake).

local five = filter ~= nil

local function config(name)
    if five then filter(name and "configurations:" .. name or {}) else configuration(name or {}) end
end

local function output_of(command)
    local pipe = assert(io.popen(command))
    local text = pipe:read("*a")
    pipe:close()
    return text
end

-- The Lua modules inside the binary ------------------------------------------------------------------------

-- module name → file; what does not lie under lua/ comes from Debian's packages
local function modules()
    local found = {}
    for _, path in ipairs(os.matchfiles("lua/**.lua")) do
        found[path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/", ".")] = path
    end
    found["luaunit"] = "/usr/share/lua/5.4/luaunit.lua"
    found["inspect"] = "/usr/share/lua/5.3/inspect.lua"
    return found
end

local function write_modules(path)
    local names, found = {}, modules()
    for name in pairs(found) do names[#names + 1] = name end
    table.sort(names)
    local out = {"#include <stddef.h>\n#include \"modules.h\"\n"}
    local rows = {"\nconst lm_module lm_modules[] = {\n"}
    for i, name in ipairs(names) do
        local file = assert(io.open(found[name], "rb"), found[name] .. " is missing: install Debian's lua-unit and lua-inspect")
        local text = file:read("*a")
        file:close()
        out[#out + 1] = ("\nstatic const char text_%d[] = {"):format(i)
        out[#out + 1] = text:gsub(".", function(c) return c:byte() .. "," end) .. "0};\n"
        rows[#rows + 1] = ("    {\"%s\", \"@%s\", text_%d, %d},\n"):format(name, found[name]:gsub("^lua/", ""), i, #text)
    end
    rows[#rows + 1] = "    {NULL, NULL, NULL, 0},\n};\n"
    os.mkdir("build")
    local file = assert(io.open(path, "wb"))
    file:write(table.concat(out), table.concat(rows))
    file:close()
end

-- What the compiler is told ----------------------------------------------------------------------------------

local warnings = {"-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow"}
local lua_include = "-isystem /usr/include/lua5.4"
local mpi_include, mpi_libdirs = {}, {}

local function ask_mpicc()
    for dir in output_of("mpicc --showme:incdirs"):gmatch("%S+") do mpi_include[#mpi_include + 1] = "-isystem " .. dir end
    for dir in output_of("mpicc --showme:libdirs"):gmatch("%S+") do mpi_libdirs[#mpi_libdirs + 1] = dir end
end

-- language and options, which everything shares
local function options()
    language "C"
    targetprefix ""
    includedirs {"src", "src/base", "src/array", "src/wire", "src/mpi", "src/share"}
    buildoptions(warnings)
    buildoptions {lua_include}
    buildoptions(mpi_include)
    buildoptions {"-fno-plt"} -- a kernel calls glibc's vector mathematics once for eight elements
    libdirs(mpi_libdirs)
    config "release"
        targetdir "bin"
        defines {"NDEBUG"}
    config "debug"
        targetdir "bin/debug"
    config "asan"
        targetdir "bin/asan"
        buildoptions {"-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"}
        linkoptions {"-fsanitize=address,undefined"}
    for _, name in ipairs {"release", "debug", "asan"} do
        config(name)
        objdir("build/" .. name)
        if five then
            symbols "On"
            optimize(name == "release" and "Speed" or name == "asan" and "Debug" or "Off")
        else
            flags {"Symbols"}
            if name == "release" then flags {"OptimizeSpeed"} end
            if name == "asan" then flags {"Optimize"} end
        end
    end
    config()
end

local function common()
    options()
    files {"src/**.c", "src/**.h", "build/modules.c"}
end

if _ACTION == "gmake" or _ACTION == "gmake2" then
    ask_mpicc()
    write_modules("build/modules.c")
end

local workspace = workspace or solution
workspace "luampi"
    location "build"
    configurations {"release", "debug", "asan"}

-- bin/luampi: Lua inside, its symbols visible to C modules
project "luampi"
    kind "ConsoleApp"
    common()
    linkoptions {"-Wl,-E"}
    links {":liblua5.4.a", ":libedit.a", ":libbsd.a", ":libmd.a", ":libtinfo.a", "mpi", "m", "dl"}

-- bin/mpi.so: the same for a stock lua5.4
project "module"
    kind "SharedLib"
    targetname "mpi"
    common()
    excludes {"src/program/**.c"}
    buildoptions {"-fPIC"}
    linkoptions {"-Wl,-z,nodelete"} -- MPI ends with the process, after lua_close has let go of the module
    links {"mpi", "m", "dl"}

-- Test programs in C: bin/<configuration>/tests/* and, built by premake … fuzz, bin/fuzz/*. Their first line says which
-- sources they are linked with, or nothing. What is not called test_… is a Lua module that tests load.

local function sources_of(path)
    local sources = {}
    for name in io.open(path):read("*l"):match("with (.+) %*/"):gsub("^nothing$", ""):gmatch("%S+") do sources[#sources + 1] = os.matchfiles("src/**/" .. name)[1] end
    return sources
end

for _, path in ipairs(os.matchfiles("tests/c/*.c")) do
    local name = path:match("([^/]+)%.c$")
    project(name)
        options()
        files {path}
        files(sources_of(path))
        if name:find("^test_") then
            kind "ConsoleApp"
            links {":liblua5.4.a", "m", "dl"}
        else
            kind "SharedLib"
            buildoptions {"-fPIC", "-fno-sanitize=all"} -- what goes wrong there is meant
        end
        for name, dir in pairs {release = "bin/tests", debug = "bin/debug/tests", asan = "bin/asan/tests"} do
            config(name)
                targetdir(dir)
        end
        config()
end

-- premake … fuzz -----------------------------------------------------------------------------------------------

newaction {
    trigger = "fuzz",
    description = "Build the fuzz targets (bin/fuzz/*) with clang and libFuzzer",
    execute = function ()
        os.mkdir("bin/fuzz")
        for _, path in ipairs(os.matchfiles("tests/fuzz/*.c")) do
            local target = path:match("([^/]+)%.c$")
            local command = table.concat({"clang-14 -g -O1 -fsanitize=fuzzer,address,undefined",
                "-fno-sanitize-recover=undefined -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -Isrc -Isrc/base -Isrc/array -Isrc/wire",
                table.concat(warnings, " "), lua_include, "-o bin/fuzz/" .. target, path,
                table.concat(sources_of(path), " "), "-l:liblua5.4.a -lm -ldl"}, " ")
            print(command)
            local ok = os.execute(command) -- 0 or true: Lua 5.1 and 5.3
            if ok ~= 0 and ok ~= true then os.exit(1) end
        end
    end
}
