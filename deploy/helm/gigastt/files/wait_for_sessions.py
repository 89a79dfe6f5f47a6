import json
import time
import urllib.error
import urllib.request

time.sleep(5)
while True:
    try:
        with urllib.request.urlopen("http://127.0.0.1:9876/ready", timeout=5) as answer:
            state = json.load(answer)
        if state["pool_available"] == state["pool_total"]:
            break
    except urllib.error.HTTPError:
        break  # not ready: nobody to wait for
    except OSError:
        pass  # no answer this time
    time.sleep(1)
