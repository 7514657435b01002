-- Arrays as text, as NumPy prints them: aligned, as many digits as tell the numbers apart but at most 8 after the
-- point, lines of 75 columns, cut in the middle beyond 1000 elements.

local PRECISION, WIDTH, THRESHOLD, EDGE = 8, 75, 1000, 3

-- The positions of a dimension that are shown; false stands for the cut.
local function shown(n, cut)
    local list = {}
    if cut and n > 2 * EDGE then
        for i = 1, EDGE do list[i] = i end
        list[EDGE + 1] = false
        for i = n - EDGE + 1, n do list[#list + 1] = i end
    else
        for i = 1, n do list[i] = i end
    end
    return list
end

-- Digits and decimal exponent of the shortest decimal that reads back as x (as a float32 for such arrays).
local function shortest(x, single)
    for p = 0, 16 do
        local text = ("%." .. p .. "e"):format(x)
        local back = tonumber(text)
        if back == x or (single and math.abs(back) < 0x1p128 and ("f"):unpack(("f"):pack(back)) == x) then
            return p, tonumber(text:match("e(.+)$"))
        end
    end
end

local function special(x) return x ~= x and "nan" or x > 0 and "inf" or "-inf" end

local function isfinite(x) return x - x == 0 end

local function isnegative(x) return x < 0 or x == 0 and 1 / x < 0 end

-- A float alone: all its digits, as Python prints it.
local function number(x, single)
    if not isfinite(x) then return special(x) end
    local digits, exponent = shortest(x, single)
    if exponent < -4 or exponent >= 16 then return ("%." .. digits .. "e"):format(x) end
    local rounded = tonumber(("%." .. digits .. "e"):format(x)) -- a float32's last digits before the point are zeros
    return ("%." .. math.max(digits - exponent, 1) .. "f"):format(rounded)
end

local function float_format(values, single)
    local low, high = math.huge, 0
    for _, x in ipairs(values) do
        if isfinite(x) and x ~= 0 then
            low, high = math.min(low, math.abs(x)), math.max(high, math.abs(x))
        end
    end
    local scientific = high >= 1e8 or high > 0 and (low < 1e-4 or high / low > 1000)
    local left, right, whole = 0, 0, {}
    for _, x in ipairs(values) do
        if isfinite(x) then
            local digits, exponent = shortest(x, single)
            local frac
            if scientific then
                frac = #("%." .. math.min(digits, PRECISION) .. "e"):format(x):match("%d%.?(%d-)0*e")
                left = math.max(left, isnegative(x) and 2 or 1)
            else
                frac = math.min(math.max(digits - exponent, 0), PRECISION)
                local text = ("%." .. frac .. "f"):format(x)
                local int, after = text:match("^(%-?%d+)%.?(%d-)0*$")
                left, frac = math.max(left, #int), #after
            end
            right = math.max(right, frac)
        else
            whole[#whole + 1] = special(x)
        end
    end
    if scientific then
        local format, exponent = "%." .. right .. "e", 0
        for _, x in ipairs(values) do
            if isfinite(x) then exponent = math.max(exponent, #format:format(x):match("e[+-](%d+)$")) end
        end
        local width = left + 1 + right + 2 + exponent
        for _, text in ipairs(whole) do width = math.max(width, #text) end
        return function (x)
            local text = special(x)
            if isfinite(x) then
                text = format:format(x):gsub("e([+-])(%d+)$", function (sign, e) return "e" .. sign .. ("0"):rep(exponent - #e) .. e end)
                if right == 0 then text = text:gsub("e", ".e") end
            end
            return (" "):rep(width - #text) .. text
        end
    end
    for _, text in ipairs(whole) do left = math.max(left, #text - right - 1) end
    local width = left + 1 + right
    return function (x)
        if not isfinite(x) then return (" "):rep(width - #special(x)) .. special(x) end
        local digits, exponent = shortest(x, single)
        local int, after = ("%." .. math.min(math.max(digits - exponent, 0), PRECISION) .. "f"):format(x):match("^(%-?%d+)%.?(%d-)0*$")
        return (" "):rep(left - #int) .. int .. "." .. after .. (" "):rep(right - #after)
    end
end

local function unsigned(n)
    if n >= 0 then return tostring(n) end
    local tens = (n >> 1) // 5
    return tens .. tostring(n - tens * 10)
end

local function integer_format(values, name)
    local text, width = name == "uint64" and unsigned or tostring, 0
    for _, x in ipairs(values) do width = math.max(width, #text(x)) end
    return function (x) return (" "):rep(width - #text(x)) .. text(x) end
end

local function text(a)
    local shape, name = {a:shape()}, a:dtype()
    local float = name:sub(1, 5) == "float"
    if #shape == 0 then
        local x = a:get()
        return float and number(x, name == "float32") or integer_format({x}, name)(x)
    end
    if a:size() == 0 then return "[] " .. name .. ", shape (" .. table.concat(shape, ", ") .. ")" end
    local cut = a:size() > THRESHOLD
    local values, at = {}, {}
    local function collect(d)
        if d > #shape then
            values[#values + 1] = a:get(table.unpack(at, 1, #shape))
            return
        end
        for _, i in ipairs(shown(shape[d], cut)) do
            if i then
                at[d] = i
                collect(d + 1)
            end
        end
    end
    collect(1)
    local format = float and float_format(values, name == "float32") or integer_format(values, name)
    local taken = 0
    local function lines(d, indent, width)
        local parts, list = {}, shown(shape[d], cut)
        if d < #shape then
            for k, i in ipairs(list) do parts[k] = indent .. (i and lines(d + 1, indent .. " ", width - 1) or "...") end
            return "[" .. table.concat(parts, ("\n"):rep(#shape - d)):sub(#indent + 1) .. "]"
        end
        local line = indent
        for k, i in ipairs(list) do
            local word = "..."
            if i then
                taken = taken + 1
                word = format(values[taken])
            end
            if #line + #word > width - 1 and #line > #indent then
                parts[#parts + 1] = line:gsub("%s+$", "")
                line = indent
            end
            line = line .. word .. (k < #list and " " or "")
        end
        parts[#parts + 1] = line
        return "[" .. table.concat(parts, "\n"):sub(#indent + 1) .. "]"
    end
    local body = lines(1, " ", WIDTH)
    if cut then body = body .. "\n" .. name .. ", shape (" .. table.concat(shape, ", ") .. ")" end
    return body
end

return {text = text}
