-- A line for each answer, as in python/loop.py. Standard error is not buffered.
function response(status, headers)
   local fault = headers["x-httpfault"] or headers["X-Httpfault"]
   local line = fault and "fault" or (status == 200 and "real" or "lost status " .. status)
   io.stderr:write(line, "\n")
end
