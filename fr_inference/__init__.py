"""fr_inference: does a face-recognition backbone give away the faces it was trained on?"""
