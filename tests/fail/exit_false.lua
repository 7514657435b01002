-- ranks: 1 2
-- exit: 1
os.exit(false)
