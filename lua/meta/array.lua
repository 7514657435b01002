---@meta

--- # Arrays
---
--- An array holds numbers of one type in one piece of memory, with a shape: rows and columns, up to 8 dimensions.
--- It is what `comm:Send` and the other capitalised calls move, and computes without a loop in Lua.
---
---     local a = array.of{{1, 2, 3}, {4, 5, 6}}       -- 2 rows, 3 columns
---     print(a[2][3], a:get(2, 3))                    -- 6.0  6.0
---     print(a * 10 + array.of{0.1, 0.2, 0.3})        -- the row is added to both rows
---     print(a:sum(), a:sum(1), a:t():dot(a))         -- 21.0, sums of columns, a product of matrices
---
--- **dtypes** are NumPy's: `"float64"` (the default), `"float32"`, `"int8"`, `"int16"`, `"int32"`, `"int64"`,
--- `"uint8"`, `"uint16"`, `"uint32"`, `"uint64"`. **Positions and axes count from 1**; out of range raises, arrays
--- never grow.
---
--- **Views.** `a[i]` of an array with two or more dimensions, `slice`, `row`, `col`, `t` and `reshape` give views:
--- arrays over the same memory, so writing to one shows in the other. `copy` gives memory of its own.
---
--- `#a` is the first extent, `tostring(a)` the text that NumPy prints, and `a == b` is true when shape, dtype and
--- all elements are equal.
---
--- **Shapes that differ** are broadcast as in NumPy: compared from the last dimension on, they must be equal or 1.
---
--- **The dtype of a result** of two arrays is the smallest that holds both, as in NumPy: int8 and uint8 give
--- int16, integers of 32 bits or more and float32 give float64, int64 and uint64 give float64. An integer number
--- keeps the array's dtype, a float makes integers float64. `/` and the mathematical functions turn integers into
--- float64.
---
--- **Integers wrap**, when a number is stored and when a result overflows; a float with a fraction does not go
--- into an integer array. Elements of uint64 above 2^63-1 read as Lua's wrapped, negative integers. `//` and `%`
--- round down, as in Lua and NumPy; an integer divided by zero raises, and so does an integer to a negative power.
---
--- **Accuracy.** `+ - * /` and square roots are rounded correctly, the other functions are within 4 units in the
--- last place. Sums are pairwise: the error grows with the logarithm of the number of elements.
---
--- While a request is using an array's memory, changing it raises; see Requests.

---@class array
array = {}

--- A shape: the number of elements, or a list of up to 8 extents; `{}` for a single number without dimensions.
---@alias shape integer | integer[]

--- The name of an element type.
---@alias dtype
---| "float64"
---| "float32"
---| "int8"
---| "int16"
---| "int32"
---| "int64"
---| "uint8"
---| "uint16"
---| "uint32"
---| "uint64"

---@class mpi.array
---@operator add(mpi.array | number): mpi.array
---@operator sub(mpi.array | number): mpi.array
---@operator mul(mpi.array | number): mpi.array
---@operator div(mpi.array | number): mpi.array
---@operator idiv(mpi.array | number): mpi.array
---@operator mod(mpi.array | number): mpi.array
---@operator pow(mpi.array | number): mpi.array
---@operator unm: mpi.array
---@operator len: integer
local a = {}

--- ## Making arrays

--- An array of zeros.
---
---     local a = array.zeros(100)
---     local m = array.zeros({3, 4}, "int32")
---@param shape shape
---@param dtype? dtype default "float64"
---@return mpi.array
function array.zeros(shape, dtype) end

--- An array of ones.
---@param shape shape
---@param dtype? dtype default "float64"
---@return mpi.array
function array.ones(shape, dtype) end

--- An array that is not filled: its elements are whatever the memory held.
---@param shape shape
---@param dtype? dtype default "float64"
---@return mpi.array
function array.empty(shape, dtype) end

--- An array of which each element is `value`.
---@param shape shape
---@param value number
---@param dtype? dtype default "float64"
---@return mpi.array
function array.full(shape, value, dtype) end

--- The identity matrix: n rows and columns, ones on the diagonal.
---@param n integer
---@param dtype? dtype default "float64"
---@return mpi.array
function array.eye(n, dtype) end

--- An array of the numbers in a list, of rows in a list of lists, and so on. All lists of one depth have the same
--- length; what is no number raises and names its place. Lists may hold arrays of one shape: they become the rows
--- of an array that holds all of them (`array.concat` joins them without a new dimension). Of an array it makes a
--- copy.
---
---     local m = array.of{{1, 2}, {3, 4}}
---     local rows = array.of(comm:allgather(m[1]))
---@param list table | mpi.array
---@param dtype? dtype default "float64"; of arrays, what holds them all
---@return mpi.array
function array.of(list, dtype) end

--- The numbers from `first` to `last` in steps. Includes `last` when the steps reach it. int64 when all arguments
--- are integers, else float64.
---
---     array.range(1, 5)            -- 1 2 3 4 5
---     array.range(0, 1, 0.25)      -- 0 0.25 0.5 0.75 1
---@param first number
---@param last number
---@param step? number not 0; default 1
---@param dtype? dtype
---@return mpi.array
function array.range(first, last, step, dtype) end

--- n numbers at equal distances, from `first` to `last`, both included.
---@param first number
---@param last number
---@param n integer
---@param dtype? dtype default "float64"
---@return mpi.array
function array.linspace(first, last, n, dtype) end

--- Joins arrays along the first dimension; their other extents agree. As numpy.concatenate.
---
---     local all = array.concat{a, b, c}
---@param arrays mpi.array[]
---@return mpi.array
function array.concat(arrays) end

--- Random numbers: uniform from 0 up to but not 1, unless told otherwise. Number k of a seed and stream is a fixed
--- function of the three (Philox4x64-10, the numbers of NumPy's Philox), so the same seed and stream give the same
--- array on any machine and any number of ranks. Without a seed every call gives other numbers.
---
---     array.random({3, 4}, {seed = 1})
---     array.random(1000, {seed = 1, comm = comm})        -- numbers of its own on every rank
---     array.random(100, {dist = "integers", low = 1, high = 6})
---
--- The options:
---
---     seed=, stream=   integers; streams of one seed never overlap. Without stream: 0
---     offset=          leaves out so many numbers at the beginning: draws a part of a longer array
---     comm=            a communicator: each rank draws from a stream of its own, apart from those without comm
---     dist=            "uniform" with low=0, high=1; "normal" with mean=0, std=1; "integers" with low=1, high=,
---                      both included; "permutation": the numbers from 1 to the array's size in random order
---     dtype=           "float64" or "float32"; for integers and permutations any, "int64" by default
---@param shape shape
---@param options? table
---@return mpi.array
function array.random(shape, options) end

--- ## Shape and elements
---
--- `a[i]` is element i of an array with one dimension, and a view of row i otherwise; `a[i] = v` writes: an
--- element, or into a whole row a number or an array. A string of digits counts as the number, as elsewhere in
--- Lua.

--- The extents, one result for each dimension.
---
---     local rows, columns = a:shape()
---@return integer ...
function a:shape() end

--- The number of dimensions, 0 to 8.
---@return integer
function a:ndim() end

--- The number of elements: the product of the shape.
---@return integer
function a:size() end

--- The element type's name.
---@return dtype
function a:dtype() end

--- The element at these positions, one for each dimension.
---
---     a:get(2, 3)
---@param ... integer
---@return number
function a:get(...) end

--- Writes the element at these positions: the value comes last.
---
---     a:set(2, 3, 1.5)
---@param ... number
function a:set(...) end

--- For a loop over positions and elements, or rows; faster than indexing. `pairs(a)` is the same; Lua's own
--- `ipairs(a)` would ask for the element behind the last, which raises.
---
---     for i, x in a:ipairs() do print(i, x) end
---@return function
---@return mpi.array
---@return integer
function a:ipairs() end

--- The elements as a list, of lists where there are more dimensions; `array.of` makes an array of it again.
---@return table | number
function a:totable() end

--- The elements' bytes in row-major order, as they are in memory.
---@return string
function a:bytes() end

--- ## Views
---
--- Arrays over the same memory.

--- The rows from `first` to `last`, read as string.sub does: negative positions count from the end, what lies
--- beyond is cut, and the slice may be empty. With tables, one for each dimension from the first on: `{first,
--- last, step}`, each with the same defaults.
---
---     a:slice(2, -1)                 -- all but the first row
---     a:slice({2, 3}, {1, -1, 2})    -- rows 2 and 3, of those every other column
---     a:slice({}, {4})               -- all rows, from column 4 on
---@param first integer | integer[]
---@param last? integer | integer[] default -1
---@param step? integer | integer[] 1 or more; default 1
---@return mpi.array
function a:slice(first, last, step) end

--- Row i: as `a[i]`, for two dimensions or more.
---@param i integer
---@return mpi.array
function a:row(i) end

--- Column j: position j of the second dimension.
---@param j integer
---@return mpi.array
function a:col(j) end

--- The transpose: the dimensions in reverse order, or in the one given.
---
---     a:t(2, 3, 1)         -- the first dimension comes last
---@param ... integer all axes, from 1
---@return mpi.array
function a:t(...) end

--- The same elements in another shape, in row-major order; one extent may be -1 for what is left. Raises for a
--- view that is not contiguous: copy it first.
---
---     a:reshape{2, -1}
---@param shape shape
---@param ...? integer the extents one by one
---@return mpi.array
function a:reshape(shape, ...) end

--- ## Copies and conversion

--- A contiguous copy.
---@return mpi.array
function a:copy() end

--- A copy converted to another dtype. Integers wrap; floats lose their fraction on the way to integers, and what
--- no 64-bit integer holds (NaN, infinities) becomes the least one.
---@param dtype dtype
---@return mpi.array
function a:as(dtype) end

--- Overwrites the elements with those of `b`, broadcast and converted as by `as`.
---@param b mpi.array
---@return mpi.array # the array itself
function a:copyfrom(b) end

--- Sets every element: to a number, or to what a function returns for the element's positions.
---
---     a:fill(function (i, j) return i * j end)
---@param value number | fun(...: integer): number
---@return mpi.array # the array itself
function a:fill(value) end

--- A new array of what a function returns for each element. For the functions below, `a:exp()` is some hundred
--- times faster than `a:map(math.exp)`.
---@param f fun(x: number): number
---@param dtype? dtype default: the array's; a result it does not hold raises
---@return mpi.array
function a:map(f, dtype) end

--- ## Arithmetic
---
--- The operators `+ - * / // % ^` and unary `-` work element by element, on two arrays or an array and a number.
--- The methods do the same; with a `_` behind their name they work in place and make no new array: `a:add_(b)`
--- leaves `a + b` in `a`. The result must then fit: a float result does not go into an integer array.
---
---     a:mul_(0.5):add_(b)

--- a + b.
---@param b mpi.array | number
---@return mpi.array
function a:add(b) end

--- a - b.
---@param b mpi.array | number
---@return mpi.array
function a:sub(b) end

--- a * b.
---@param b mpi.array | number
---@return mpi.array
function a:mul(b) end

--- a / b; integers give float64.
---@param b mpi.array | number
---@return mpi.array
function a:div(b) end

--- a // b, rounded down.
---@param b mpi.array | number
---@return mpi.array
function a:idiv(b) end

--- a % b, with the sign of b.
---@param b mpi.array | number
---@return mpi.array
function a:mod(b) end

--- a ^ b.
---@param b mpi.array | number
---@return mpi.array
function a:pow(b) end

--- The smaller of each two elements; NaN when one is.
---@param b mpi.array | number
---@return mpi.array
function a:minimum(b) end

--- The larger of each two elements; NaN when one is.
---@param b mpi.array | number
---@return mpi.array
function a:maximum(b) end

--- The angle of the point (b, a), in radians, from -pi to pi.
---@param b mpi.array | number
---@return mpi.array
function a:atan2(b) end

--- The square root of a² + b².
---@param b mpi.array | number
---@return mpi.array
function a:hypot(b) end

--- `a:add(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:add_(b) end

--- `a:sub(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:sub_(b) end

--- `a:mul(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:mul_(b) end

--- `a:div(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:div_(b) end

--- `a:idiv(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:idiv_(b) end

--- `a:mod(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:mod_(b) end

--- `a:pow(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:pow_(b) end

--- `a:minimum(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:minimum_(b) end

--- `a:maximum(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:maximum_(b) end

--- `a:atan2(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:atan2_(b) end

--- `a:hypot(b)` in place.
---@param b mpi.array | number
---@return mpi.array # the array itself
function a:hypot_(b) end

--- ## Comparisons
---
--- Element by element, they give an array of uint8, 1 for true: `a:gt(0):sum()` counts. `a == b` compares as a
--- whole.

--- 1 where the element is equal to b's, else 0.
---@param b mpi.array | number
---@return mpi.array
function a:eq(b) end

--- 1 where the element is not equal to b's, else 0.
---@param b mpi.array | number
---@return mpi.array
function a:ne(b) end

--- 1 where the element is less than b's, else 0.
---@param b mpi.array | number
---@return mpi.array
function a:lt(b) end

--- 1 where the element is less than or equal to b's, else 0.
---@param b mpi.array | number
---@return mpi.array
function a:le(b) end

--- 1 where the element is greater than b's, else 0.
---@param b mpi.array | number
---@return mpi.array
function a:gt(b) end

--- 1 where the element is greater than or equal to b's, else 0.
---@param b mpi.array | number
---@return mpi.array
function a:ge(b) end

--- Whether everywhere |a - b| <= atol + rtol * |b|. NaN is close to nothing. As numpy.allclose.
---@param b mpi.array | number
---@param rtol? number default 1e-5
---@param atol? number default 1e-8
---@return boolean
function a:allclose(b, rtol, atol) end

--- ## Mathematics
---
--- Functions of each element, in radians where there are angles. Each has a form in place, with a `_` behind its
--- name.

--- e^x.
---@return mpi.array
function a:exp() end

--- 2^x.
---@return mpi.array
function a:exp2() end

--- e^x - 1, accurate near 0.
---@return mpi.array
function a:expm1() end

--- The natural logarithm.
---@return mpi.array
function a:log() end

--- The logarithm to base 2.
---@return mpi.array
function a:log2() end

--- The logarithm to base 10.
---@return mpi.array
function a:log10() end

--- log(1 + x), accurate near 0.
---@return mpi.array
function a:log1p() end

--- The square root.
---@return mpi.array
function a:sqrt() end

--- The cube root.
---@return mpi.array
function a:cbrt() end

--- x * x; keeps the dtype.
---@return mpi.array
function a:square() end

--- The sine.
---@return mpi.array
function a:sin() end

--- The cosine.
---@return mpi.array
function a:cos() end

--- The tangent.
---@return mpi.array
function a:tan() end

--- The inverse sine.
---@return mpi.array
function a:asin() end

--- The inverse cosine.
---@return mpi.array
function a:acos() end

--- The inverse tangent.
---@return mpi.array
function a:atan() end

--- The hyperbolic sine.
---@return mpi.array
function a:sinh() end

--- The hyperbolic cosine.
---@return mpi.array
function a:cosh() end

--- The hyperbolic tangent.
---@return mpi.array
function a:tanh() end

--- The inverse hyperbolic sine.
---@return mpi.array
function a:asinh() end

--- The inverse hyperbolic cosine.
---@return mpi.array
function a:acosh() end

--- The inverse hyperbolic tangent.
---@return mpi.array
function a:atanh() end

--- The error function.
---@return mpi.array
function a:erf() end

--- 1 - erf(x), accurate for large x.
---@return mpi.array
function a:erfc() end

--- The absolute value; keeps the dtype.
---@return mpi.array
function a:abs() end

--- -x; keeps the dtype.
---@return mpi.array
function a:neg() end

--- -1, 0 or 1; keeps the dtype.
---@return mpi.array
function a:sign() end

--- The next integer below; keeps the dtype.
---@return mpi.array
function a:floor() end

--- The next integer above; keeps the dtype.
---@return mpi.array
function a:ceil() end

--- The integer next to x towards 0; keeps the dtype.
---@return mpi.array
function a:trunc() end

--- The nearest integer, halves to the even one; keeps the dtype.
---@return mpi.array
function a:round() end

--- 1 where the element is NaN, else 0. The result is uint8.
---@return mpi.array
function a:isnan() end

--- 1 where the element is an infinity, else 0. The result is uint8.
---@return mpi.array
function a:isinf() end

--- 1 where the element is neither NaN nor infinite, else 0. The result is uint8.
---@return mpi.array
function a:isfinite() end

--- `a:exp()` in place.
---@return mpi.array # the array itself
function a:exp_() end

--- `a:exp2()` in place.
---@return mpi.array # the array itself
function a:exp2_() end

--- `a:expm1()` in place.
---@return mpi.array # the array itself
function a:expm1_() end

--- `a:log()` in place.
---@return mpi.array # the array itself
function a:log_() end

--- `a:log2()` in place.
---@return mpi.array # the array itself
function a:log2_() end

--- `a:log10()` in place.
---@return mpi.array # the array itself
function a:log10_() end

--- `a:log1p()` in place.
---@return mpi.array # the array itself
function a:log1p_() end

--- `a:sqrt()` in place.
---@return mpi.array # the array itself
function a:sqrt_() end

--- `a:cbrt()` in place.
---@return mpi.array # the array itself
function a:cbrt_() end

--- `a:square()` in place.
---@return mpi.array # the array itself
function a:square_() end

--- `a:sin()` in place.
---@return mpi.array # the array itself
function a:sin_() end

--- `a:cos()` in place.
---@return mpi.array # the array itself
function a:cos_() end

--- `a:tan()` in place.
---@return mpi.array # the array itself
function a:tan_() end

--- `a:asin()` in place.
---@return mpi.array # the array itself
function a:asin_() end

--- `a:acos()` in place.
---@return mpi.array # the array itself
function a:acos_() end

--- `a:atan()` in place.
---@return mpi.array # the array itself
function a:atan_() end

--- `a:sinh()` in place.
---@return mpi.array # the array itself
function a:sinh_() end

--- `a:cosh()` in place.
---@return mpi.array # the array itself
function a:cosh_() end

--- `a:tanh()` in place.
---@return mpi.array # the array itself
function a:tanh_() end

--- `a:asinh()` in place.
---@return mpi.array # the array itself
function a:asinh_() end

--- `a:acosh()` in place.
---@return mpi.array # the array itself
function a:acosh_() end

--- `a:atanh()` in place.
---@return mpi.array # the array itself
function a:atanh_() end

--- `a:erf()` in place.
---@return mpi.array # the array itself
function a:erf_() end

--- `a:erfc()` in place.
---@return mpi.array # the array itself
function a:erfc_() end

--- `a:abs()` in place.
---@return mpi.array # the array itself
function a:abs_() end

--- `a:neg()` in place.
---@return mpi.array # the array itself
function a:neg_() end

--- `a:sign()` in place.
---@return mpi.array # the array itself
function a:sign_() end

--- `a:floor()` in place.
---@return mpi.array # the array itself
function a:floor_() end

--- `a:ceil()` in place.
---@return mpi.array # the array itself
function a:ceil_() end

--- `a:trunc()` in place.
---@return mpi.array # the array itself
function a:trunc_() end

--- `a:round()` in place.
---@return mpi.array # the array itself
function a:round_() end

--- ## Reductions
---
--- Without an axis they take all elements and give a number; with one they take the elements along that dimension,
--- and give an array without it: `a:sum(1)` of a matrix has the sums of its columns. `reshape` gives the dimension
--- back where the result is to meet the array again:
---
---     a - a:mean(1)                        -- each column less its mean
---     a - a:mean(2):reshape{-1, 1}         -- each row

--- The sum, 0 of nothing. Integers give int64 or uint64.
---@param axis? integer from 1
---@return number | mpi.array
function a:sum(axis) end

--- The product, 1 of nothing. Integers give int64 or uint64.
---@param axis? integer from 1
---@return number | mpi.array
function a:prod(axis) end

--- The least element; NaN when there is one. Of nothing it raises.
---@param axis? integer from 1
---@return number | mpi.array
function a:min(axis) end

--- The greatest element; NaN when there is one. Of nothing it raises.
---@param axis? integer from 1
---@return number | mpi.array
function a:max(axis) end

--- The mean, in float64; of nothing NaN.
---@param axis? integer from 1
---@return number | mpi.array
function a:mean(axis) end

--- The variance (divided by the number of elements), in float64.
---@param axis? integer from 1
---@return number | mpi.array
function a:var(axis) end

--- The standard deviation: the variance's square root.
---@param axis? integer from 1
---@return number | mpi.array
function a:std(axis) end

--- Where the least element is, the first of equal ones: its position, without axis in row-major order.
---@param axis? integer from 1
---@return number | mpi.array
function a:argmin(axis) end

--- Where the greatest element is, the first of equal ones: its position, without axis in row-major order.
---@param axis? integer from 1
---@return number | mpi.array
function a:argmax(axis) end

--- Whether an element is not 0. With an axis, an array of uint8.
---@param axis? integer from 1
---@return boolean | mpi.array
function a:any(axis) end

--- Whether all elements are not 0. With an axis, an array of uint8.
---@param axis? integer from 1
---@return boolean | mpi.array
function a:all(axis) end

--- The running sum along an axis, in the array's shape; without one over all elements in row-major order, with one
--- dimension.
---@param axis? integer from 1
---@return mpi.array
function a:cumsum(axis) end

--- The running product, likewise.
---@param axis? integer from 1
---@return mpi.array
function a:cumprod(axis) end

--- ## Vectors and matrices
---
--- Done by the BLAS that the machine has (Debian's libopenblas0-serial; another libblas.so.3 does, too), which is
--- loaded on first use. It runs on one thread, unless OPENBLAS_NUM_THREADS or OMP_NUM_THREADS is set. Strided
--- views and transposes go as they are.

--- Two vectors give a number, a matrix and a vector (in either order) a vector, two matrices a matrix. Integers
--- give integers, as in NumPy, exact but for overflow, which wraps.
---
---     m:dot(m:t())
---@param b mpi.array
---@return number | mpi.array
function a:dot(b) end

--- The Euclidean norm: the square root of the sum of all squares, without overflow on the way.
---@return number
function a:norm() end

--- a + alpha * x, in place; both have the same shape, and `a` holds floats.
---@param alpha number
---@param x mpi.array
---@return mpi.array # the array itself
function a:axpy(alpha, x) end

--- a * alpha, in place; `a` holds floats.
---@param alpha number
---@return mpi.array # the array itself
function a:scal(alpha) end

--- ## Files
---
--- NumPy's .npy format, versions 1 to 3, of the ten dtypes (booleans load as uint8). A bad file raises and names
--- file and field before memory for it is taken.

--- Reads an array. Fortran order becomes row-major.
---
---     local a = array.load("a.npy")
---     local some = array.load("a.npy", {rows = {101, 200}})
---     local block, first = array.load("a.npy", {comm = comm})
---
--- With `rows={first, last}` these rows only (negative ones count from the end). With `comm=` this rank's block: n
--- // p rows on each of p ranks and one more on the first n % p; each rank reads no more than its own. Both also
--- give the first row's number. With `mmap=true` nothing is read at first: the array is the file's own pages, and
--- cannot be written.
---@param path string
---@param options? {rows?: integer[], comm?: mpi.comm, mmap?: boolean}
---@return mpi.array
---@return integer? first
function array.load(path, options) end

--- Writes an array, as NumPy does. The file appears under its name when it is complete, and replaces an older one
--- in one step: who reads it meanwhile, or after a job that died, finds the old or the new one whole. Like NumPy it
--- does not wait for the disk; with `sync=true` the data is there before the file has its name, so that this holds
--- when the machine loses power, too.
---
--- With `comm=` all ranks call: their blocks of rows, of any sizes, make one file in rank order. A mistake on one
--- rank raises on all, and leaves the old file as it was.
---
---     array.save("a.npy", block, {comm = comm})
---@param path string
---@param a mpi.array
---@param options? {comm?: mpi.comm, sync?: boolean}
function array.save(path, a, options) end

--- ## Memory
---
--- The garbage collector sees an array's memory and frees it when no array and no view uses it any more.

--- Gives the memory back at once; the array and its views then raise. Raises while a request uses it. `local a
--- <close> = …` does it at the end of the block.
function a:free() end
