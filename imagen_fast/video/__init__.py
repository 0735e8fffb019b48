"""Videos: frames are decoded, computed and encoded side by side, in segments that outlast a kill.

    source ─ frames ─ pipeline ─ segments on the disk ─ joined file
             (decode)  (model)   (encode)               (copied sound, subtitles, chapters)

PyAV reads and writes the files and is imported only here, when it is needed.
"""
