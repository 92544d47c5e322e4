# SPDX-License-Identifier: Apache-2.0
# What a WAV file sounds like.
import array
import wave


def frequency(path):
    """Hertz of the sound in a WAV file, by the times its left channel rises through zero; and seconds."""
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        left = array.array("h", file.readframes(file.getnframes()))[::file.getnchannels()]
    rises = [i + left[i] / (left[i] - left[i + 1]) for i in range(len(left) - 1) if left[i] < 0 <= left[i + 1]]
    if len(rises) < 100:
        return 0.0, 0.0
    middle = rises[len(rises) // 10:-len(rises) // 10]  # without what starting and stopping does
    return rate * (len(middle) - 1) / (middle[-1] - middle[0]), len(left) / rate
