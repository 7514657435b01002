for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmRSS:%s*(%d+)"
    if kilobytes then print("a rank, resident", kilobytes / 1024) end
end
